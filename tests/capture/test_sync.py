"""Ticks, phase, unrecorded gaps and bad frames of simulated takes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_head import MovingHead, shoot

from olatkit.capture.clock import ticks_from_times
from olatkit.capture.flicker import find_bad_frames
from olatkit.capture.moments import frame_features
from olatkit.capture.sync import find_phase, track_phase
from olatkit.errors import CaptureError
from olatkit.rig import LightRig, default_rig
from olatkit.schedule import LightingSchedule, Slot, default_114, grouped_schedule, multiplexed_114

RIG = default_rig()
SCHEDULE = default_114()
SIZE = 40
PX_PER_128 = SIZE / 128  # speeds are quoted for a picture 128 pixels wide


def record(schedule=SCHEDULE, ticks=120, *, speed=0.0, phase=0, rig=RIG, start=0.3, **camera):
    """Features of a simulated take; ``ticks`` is their number or the ticks themselves."""
    ticks = np.arange(ticks) if np.isscalar(ticks) else ticks
    head = MovingHead(rig, SIZE, speed * PX_PER_128, start)
    return frame_features(shoot(head, schedule, ticks, phase=phase, **camera), black_level=0, white_level=1)


@pytest.fixture(scope="module")
def long_take():
    """600 frames of a still head at phase 37, shared because shading them takes half a second."""
    return record(ticks=600, phase=37)


@pytest.fixture(scope="module")
def fast_take():
    """600 frames at 400 px/s."""
    return record(ticks=600, phase=37, speed=400)


# ---------------------------------------------------------------- features

def test_features_are_moments_in_world_axes():
    frame = np.full((1, 64, 64), 64, np.uint16)
    frame[0, :16, 48:] = 1064  # top right corner
    mean, x, y = frame_features(frame, black_level=64, white_level=4064)[0]
    assert mean == pytest.approx(0.25 / 16)
    assert x == pytest.approx(mean * 0.75)
    assert y == pytest.approx(mean * 0.75)


@pytest.mark.parametrize("colour", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_features_count_every_mosaic_colour_alike(colour):
    """Light in one filter colour only gives the same numbers whichever cell position it has, also when sampled."""
    frame = np.zeros((1, 540, 1030), np.uint16)
    frame[0, colour[0]::2, colour[1]::2] = np.linspace(0, 1000, 515).astype(np.uint16)
    reference = np.zeros_like(frame)
    reference[0, ::2, ::2] = np.linspace(0, 1000, 515).astype(np.uint16)
    options = {"black_level": 0, "white_level": 1000}
    np.testing.assert_array_equal(frame_features(frame, **options), frame_features(reference, **options))


def test_features_of_a_sampled_frame_match_the_whole():
    """A 4K frame is sampled; its moments stay within 1 % for a smooth picture."""
    y, x = np.mgrid[1:-1:1080j, -1:1:2048j]
    frame = np.exp(-((x - 0.2) ** 2 + (y - 0.3) ** 2) / 0.1)
    mean, mx, my = frame_features(frame[None].astype(np.float32), black_level=0, white_level=1)[0]
    assert mean == pytest.approx(frame.mean(), rel=1e-2)
    assert mx == pytest.approx((frame * x).mean(), rel=1e-2)
    assert my == pytest.approx((frame * y * 1080 / 2048).mean(), rel=1e-2)


def test_features_of_colour_and_mono_frames_agree():
    grey = np.random.default_rng(1).random((2, 30, 40)).astype(np.float32)
    colour = np.repeat(grey[..., None], 3, axis=3)
    of_colour, of_grey = (frame_features(frames, black_level=0.1, white_level=0.9) for frames in (colour, grey))
    np.testing.assert_allclose(of_colour, of_grey, rtol=1e-5)


# ---------------------------------------------------------------- ticks

@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.tuples(st.integers(1, 390), st.integers(1, 120)), max_size=4),
    clock=st.floats(0.97, 1.03), seed=st.integers(0, 2**32 - 1),
)
def test_ticks_survive_jitter_drift_and_gaps(gaps, clock, seed):
    truth = np.arange(400)
    for at, missing in gaps:
        truth[at:] += missing
    jitter = np.random.default_rng(seed).uniform(-0.2, 0.2, 400)
    ticks = ticks_from_times(12.5 + (truth + jitter) * clock / 1000, 1000)
    np.testing.assert_array_equal(ticks, truth)
    assert ticks.dtype == np.int64


def test_ticks_of_six_seconds_do_not_drift():
    """A camera clock 0.05 % off its nominal rate would be three frames out after 6 s if it were believed."""
    np.testing.assert_array_equal(ticks_from_times(np.arange(6000) / 999.5, 1000), np.arange(6000))


@pytest.mark.parametrize("value", [0.003, 0.001, float("nan")])
def test_repeated_backward_and_missing_times_are_named(value):
    times = np.arange(10) / 1000
    times[4] = value
    with pytest.raises(CaptureError, match=r"frame 4 has time"):
        ticks_from_times(times, 1000)


def test_every_tenth_frame_is_refused_with_the_stride():
    with pytest.raises(CaptureError, match=r"frames lie 111\.07 us apart, 9\.996 intervals at the nominal 90000 Hz"):
        ticks_from_times(np.arange(15) * 111.07e-6, 90000)


def test_irregular_times_are_refused():
    times = np.arange(60) / 1000
    times[30:] = times[30:] - 0.0009  # frames 29 and 30 a tenth of an interval apart
    with pytest.raises(CaptureError, match="frames 29 and 30"):
        ticks_from_times(times, 1000)


def test_one_frame_has_tick_zero():
    np.testing.assert_array_equal(ticks_from_times([3.0], 1000), [0])


# ---------------------------------------------------------------- phase

def check_random_phases(count, seed):
    rng = np.random.default_rng(seed)
    found, scores, gaps = [], [], []
    for n in range(count):
        phase, speed = int(rng.integers(120)), rng.uniform(0, 400)
        features = record(phase=phase, speed=speed, start=rng.uniform(0, 6), seed=n)
        estimate = find_phase(features, np.arange(120), SCHEDULE, RIG)
        found.append(estimate.phase == phase)
        scores.append(estimate.score)
        gaps.append(estimate.score - estimate.runner_up)
    assert sum(found) == count
    assert min(scores) > 0.8
    assert min(gaps) > 0.5


def test_phase_at_random_offsets_and_speeds():
    check_random_phases(8, 1)


@pytest.mark.slow
def test_phase_right_in_50_of_50():
    check_random_phases(50, 2)


def test_estimate_describes_itself(long_take):
    estimate = find_phase(long_take, np.arange(600), SCHEDULE, RIG)
    assert estimate.phase == 37
    assert estimate.scores.shape == (120,)
    assert estimate.scores[37] == estimate.score == estimate.scores.max()
    assert estimate.runner_up == np.sort(estimate.scores)[-2]
    assert estimate.comb_contrast > 1.5
    assert estimate.first_frame == 0


def test_phase_with_dropped_frames(long_take):
    """Half the frames are gone; the ticks say which."""
    keep = np.sort(np.random.default_rng(0).choice(300, 150, replace=False))
    assert find_phase(long_take[keep], keep - keep[0], SCHEDULE, RIG).phase == (37 - keep[0]) % 120
    with pytest.raises(CaptureError, match="no phase"):
        find_phase(long_take[keep], np.arange(150), SCHEDULE, RIG)


def test_phase_with_gains_and_dead_lights():
    rng = np.random.default_rng(5)
    enabled = np.ones(114, bool)
    enabled[rng.choice(114, 12, replace=False)] = False
    lamp = LightRig("worn", RIG.directions, None, rng.uniform(0.4, 2.5, (114, 1)).repeat(3, 1), enabled)
    features = record(phase=91, speed=200, rig=lamp)
    assert find_phase(features, np.arange(120), SCHEDULE, lamp).phase == 91


def test_phase_skips_an_empty_stage(long_take):
    noise = np.abs(np.random.default_rng(0).normal(0, 1e-3, (240, 3)))
    features = np.concatenate([noise, long_take[240:]])
    estimate = find_phase(features, np.arange(600), SCHEDULE, RIG)
    assert (estimate.phase, estimate.first_frame) == (37, 240)


@pytest.mark.parametrize("axis", ["spiral", "azimuth"])
def test_phase_of_sequential_orders(axis):
    """Neighbouring slots light neighbouring lights: the tracking frames must decide among them."""
    d = RIG.directions
    order = np.argsort(-d[:, 1]) if axis == "spiral" else np.argsort(np.arctan2(d[:, 0], d[:, 2]))
    schedule = grouped_schedule(order, group=19, tracking_gain=0.034)
    estimate = find_phase(record(schedule, phase=64, speed=100), np.arange(120), schedule, RIG)
    assert estimate.phase == 64


@pytest.mark.parametrize("drive", [0.03, 1.0])
def test_phase_of_a_multiplexed_schedule(drive):
    """Also where 58 lights at full drive outshine the tracking frames."""
    schedule = multiplexed_114(drive=drive)
    features = record(schedule, phase=75, speed=200, exposure=0.02 / drive)
    estimate = find_phase(features, np.arange(120), schedule, RIG)
    assert estimate.phase == 75
    assert estimate.comb_contrast > 1.5


def test_phase_of_an_irregular_layout_with_dark_frames():
    rng = np.random.default_rng(3)
    slots = [Slot("olat", light=int(l)) for l in rng.permutation(114)]
    tracking = Slot("track", gain=0.034)
    for at, slot in ((5, tracking), (11, Slot("dark")), (50, tracking), (51, Slot("matte"))):
        slots.insert(at, slot)
    schedule = LightingSchedule(slots, 114)
    features = record(schedule, schedule.cycle + 30, phase=17, speed=100)
    assert find_phase(features, np.arange(len(features)), schedule, RIG).phase == 17


def test_wrong_schedule_has_no_phase(long_take):
    wrong = grouped_schedule(np.random.default_rng(7).permutation(114), group=19, tracking_gain=0.034, name="other")
    with pytest.raises(CaptureError, match=r"no phase of schedule 'other'.*expected above 0\.4.*--phase"):
        find_phase(long_take, np.arange(600), wrong, RIG)


def test_mirrored_rig_has_no_phase(long_take):
    mirrored = LightRig("mirrored", -RIG.directions)
    with pytest.raises(CaptureError, match="no phase"):
        find_phase(long_take, np.arange(600), SCHEDULE, mirrored)


def test_take_shorter_than_a_cycle():
    with pytest.raises(CaptureError, match=r"119 frames over 119 .* at least one cycle .* 120"):
        find_phase(np.ones((119, 3)), np.arange(119), SCHEDULE, RIG)


def test_rig_of_another_size():
    with pytest.raises(CaptureError, match=r"has 113 lights.*has 114"):
        find_phase(np.ones((120, 3)), np.arange(120), SCHEDULE, default_rig(113))


# ---------------------------------------------------------------- gaps

def test_a_take_without_gaps_is_left_alone(fast_take):
    track = track_phase(fast_take, np.arange(600), SCHEDULE, RIG, 37)
    assert track.events == ()
    np.testing.assert_array_equal(track.ticks, np.arange(600))
    assert track.window_scores.min() > 0.8


@pytest.mark.parametrize("at", [131, 180, 239, 300])
@pytest.mark.parametrize("missing", [1, 20, 77, 119])
def test_an_unrecorded_gap_is_found(long_take, at, missing):
    kept = np.delete(np.arange(600), np.arange(at, at + missing))
    track = track_phase(long_take[kept], np.arange(len(kept)), SCHEDULE, RIG, 37)
    assert track.events == ((at, missing),)
    np.testing.assert_array_equal(track.ticks, kept)


def test_gaps_of_a_fast_head_are_found_within_three_frames(fast_take):
    """Where the slots on both sides look alike within the motion the place is uncertain by a frame or so."""
    kept = np.delete(np.arange(600), np.r_[150:157, 400:433])
    track = track_phase(fast_take[kept], np.arange(len(kept)), SCHEDULE, RIG, 37)
    assert [n for _, n in track.events] == [7, 33]
    np.testing.assert_allclose([at for at, _ in track.events], [150, 393], atol=3)
    assert (track.ticks != kept).sum() <= 6


def test_a_recorded_gap_is_no_event(long_take):
    kept = np.delete(np.arange(600), np.arange(200, 233))
    assert track_phase(long_take[kept], kept, SCHEDULE, RIG, 37).events == ()


# ---------------------------------------------------------------- bad frames

@pytest.mark.parametrize("speed", [0, 400])
def test_no_false_alarms(speed, long_take, fast_take):
    features = fast_take if speed else long_take
    assert not find_bad_frames(features, np.arange(600), SCHEDULE, 37).any()


def test_bad_frames_are_found_and_their_companions_spared(long_take):
    features = long_take.copy()
    for frame, factor in ((5, 0.5), (200, 0.0), (330, 2.0), (597, 0.5)):
        features[frame] *= factor
    bad = find_bad_frames(features, np.arange(600), SCHEDULE, 37)
    np.testing.assert_array_equal(np.flatnonzero(bad), [5, 200, 330, 597])


def test_bad_tracking_frames_of_a_fast_head_are_found(fast_take):
    features = fast_take.copy()
    frames = [197, 297, 417]
    features[frames] *= np.array([0.5, 0.0, 2.0])[:, None]
    bad = find_bad_frames(features, np.arange(600), SCHEDULE, 37)
    np.testing.assert_array_equal(np.flatnonzero(bad), frames)


def test_bad_frames_need_companions():
    features = record(ticks=130)
    features[60] = 0
    assert not find_bad_frames(features, np.arange(130), SCHEDULE, 0).any()


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<f2", "<f4", ">f4", "<f8", "<i4"])
def test_features_do_not_depend_on_how_frames_are_stored(kind):
    frames = np.random.default_rng(0).integers(0, 2000, (3, 40, 64)).astype(np.uint16)
    expected = frame_features(frames, black_level=64, white_level=4095)
    found = frame_features(frames.astype(kind), black_level=64, white_level=4095)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_frame_with_a_value_that_is_no_number_has_no_features():
    frames = np.ones((2, 16, 16), np.float32)
    frames[1, 3, 3] = np.nan
    found = frame_features(frames, black_level=0, white_level=1)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
