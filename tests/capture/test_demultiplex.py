"""The demultiplexer against a stage whose exact images are known."""

from dataclasses import replace

import numpy as np
import pytest
from one_imageset import MOVING, STILL, decibels, demultiplex
from small_take import LIGHTS, small_schedule, small_stage
from synthetic import leak, slide, still
from tolerances import FLOAT32_EXACT, FLOAT32_INVERSION

from olatkit.capture.demultiplex import NEVER
from olatkit.capture.prepare import Calibration, FrameWindow
from olatkit.capture.windows import observe_slot
from olatkit.imageset import CROSSTALK, LOW_FLOW_CONFIDENCE, SATURATED
from olatkit.io.sources import ArrayStream
from olatkit.rig import LightRig, default_rig
from olatkit.schedule import LightingSchedule, Slot, default_114, mixed_schedule, multiplexed_114
from olatkit.vision.warp import warp


def pure_olat(stage, reference):
    """Truth: every enabled light with its gain divided out."""
    return replace(stage, rig=LightRig("pure", stage.rig.directions)).olat(stage.time_s(reference)) * (
        stage.rig.enabled[:, None, None, None]
    )


# ---------------------------------------------------------------- exactness

@pytest.mark.parametrize("mode", ["blend", "nearest", "causal"])
def test_a_still_take_is_exact(mode):
    stage = small_stage(motion=still)
    images, full, record = demultiplex(stage, stage.frames(60), 27, config=replace_mode(STILL, mode))
    np.testing.assert_allclose(images, stage.olat(0), atol=FLOAT32_EXACT)
    np.testing.assert_allclose(full, stage.olat(0).sum(axis=0), atol=10 * FLOAT32_EXACT)
    assert not record.quality.any()
    assert record.stats["closure"] == pytest.approx(0, abs=1e-5)


def replace_mode(config, mode):
    return config.model_copy(update={"mode": mode})


def test_the_default_stage_is_exact():
    """114 lights, cycle 120, phase 37."""
    stage = replace(small_stage(motion=still, size=(24, 24), radius_px=9.0), rig=default_rig(), schedule=default_114(),
                    phase=37)
    images, _, record = demultiplex(stage, stage.frames(280), 157)
    np.testing.assert_allclose(images, stage.olat(0), atol=FLOAT32_EXACT)
    assert (record.observations[:, 0] - record.observations[:, 1] == 120).all()


@pytest.mark.parametrize("off", [1, -1, 10])
def test_a_shifted_phase_is_wrong(off):
    """The neighbour's image is not this light's: the comparison above can fail."""
    stage = small_stage(motion=still)
    images, _, _ = demultiplex(stage, stage.frames(60), 27 + off, phase=stage.phase + off)
    assert np.abs(images - stage.olat(0)).max() > 0.1
    assert decibels(images, stage.olat(0)) < 20


def test_observed_frames_are_those_of_the_light():
    stage = small_stage(motion=still)
    _, _, record = demultiplex(stage, stage.frames(60), 27)
    slot_of = {int(light): p for p, light in enumerate(stage.schedule.slot_lights) if light >= 0}
    for light in range(LIGHTS):
        for dt in record.observations[light]:
            assert (27 + dt - stage.phase) % 20 == slot_of[light]
        seen = observe_slot(slot_of[light], 27, 20, stage.phase, range(60))
        assert record.weights_after[light] == np.float32(seen.weight_after)


# ---------------------------------------------------------------- motion

def test_compensation_follows_a_sliding_sphere():
    """40 frames at 0.2 px per frame: without compensation the looks lie up to 4 px apart."""
    stage = small_stage(motion=slide(200, 80))
    frames, truth = stage.frames(60), stage.olat(0.027)
    plain, _, _ = demultiplex(stage, frames, 27)
    aligned, full, record = demultiplex(stage, frames, 27, config=MOVING)
    assert decibels(aligned, truth) > decibels(plain, truth) + 8
    assert decibels(full, truth.sum(axis=0)) > 40
    assert record.stats["motion_px"] == pytest.approx(60 * np.hypot(0.2, 0.08), rel=0.3)


def test_blend_beats_nearest_beats_causal():
    """A brightness that changes steadily in time is exact in the blend, and only there."""
    stage = small_stage(motion=still)
    level = 1 + 0.01 * (np.arange(60) - 27)
    frames = (stage.frames(60) * level[:, None, None, None]).astype(np.float32)
    error = {
        mode: np.abs(demultiplex(stage, frames, 27, config=replace_mode(STILL, mode))[0] - stage.olat(0)).mean()
        for mode in ("blend", "nearest", "causal")
    }
    assert error["blend"] < 1e-6
    assert error["nearest"] < 0.7 * error["causal"]
    assert error["nearest"] > 1e-4


# ---------------------------------------------------------------- crosstalk

def test_golden_vector():
    """ε = 0.1 and x = (1, 0, 0) give y = (0.9, 0.1, 0)."""
    x = np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(leak(x, 0.1), [0.9, 0.1, 0.0])
    frames = np.zeros((20, 16, 16, 3), np.float32)
    frames[5:8] = leak(x, 0.1)[:, None, None, None]
    calibration = Calibration(0.0, 1.0, None, (0, 0, 16, 16), (0, 0, 16, 16), crosstalk=0.1)
    window = FrameWindow(ArrayStream(frames, 1000), calibration, np.arange(20))
    got = [window.frame(t)[8, 8, 1] for t in (5, 6, 7)]
    np.testing.assert_allclose(got, x, atol=FLOAT32_EXACT)


@pytest.mark.parametrize("share", [0.03, 0.1])
def test_crosstalk_is_undone(share):
    stage = small_stage(motion=still)
    frames = leak(stage.frames(60), share).astype(np.float32)
    spoilt, _, _ = demultiplex(stage, frames, 27)
    images, _, record = demultiplex(stage, frames, 27, crosstalk=share)
    np.testing.assert_allclose(images, stage.olat(0), atol=3 * FLOAT32_EXACT)
    assert np.abs(spoilt - stage.olat(0)).max() > share / 4
    assert not (record.quality & CROSSTALK).any()


def test_crosstalk_after_a_gap_is_flagged():
    """The frame after a dropped one keeps its leak, because what leaked was not recorded."""
    stage = small_stage(motion=still)
    kept = np.delete(np.arange(60), 30)
    frames = leak(stage.frames(60), 0.05).astype(np.float32)
    images, _, record = demultiplex(stage, frames[kept], 27, ticks=kept, crosstalk=0.05)
    after_gap = stage.schedule.slot_lights[(31 - stage.phase) % 20]
    flagged = np.flatnonzero(record.quality & CROSSTALK)
    assert flagged.tolist() == [after_gap]
    clean = np.setdiff1d(np.arange(LIGHTS), [after_gap])
    # The recursion restarts with a wrong frame; its error shrinks by 0.05 / 0.95 per frame.
    np.testing.assert_allclose(images[clean], stage.olat(0)[clean], atol=5e-3)


# ---------------------------------------------------------------- ambient light, gains, dead lights

def with_dark_slot():
    schedule = small_schedule()
    return LightingSchedule([*schedule.slots, Slot("dark"), Slot("dark")], LIGHTS, stride=11)


def test_dark_slots_remove_ambient_light():
    stage = small_stage(motion=still, schedule=with_dark_slot())
    glow = np.linspace(0, 0.1, 48, dtype=np.float32)[:, None, None]
    frames = stage.frames(70) + glow
    images, full, _ = demultiplex(stage, frames, 29)
    np.testing.assert_allclose(images, stage.olat(0), atol=FLOAT32_EXACT)
    np.testing.assert_allclose(full, stage.olat(0).sum(axis=0), atol=10 * FLOAT32_EXACT)


def test_ambient_share_of_the_full_picture():
    """Constant light α S in every frame is taken off exactly when α is known, lights and full picture alike."""
    stage = small_stage(motion=still)
    total = stage.olat(0).sum(axis=0).astype(np.float32)
    images, full, record = demultiplex(stage, stage.frames(60) + np.float32(0.02) * total, 27, ambient=0.02)
    np.testing.assert_allclose(images, stage.olat(0), atol=10 * FLOAT32_EXACT)
    np.testing.assert_allclose(full, total, atol=20 * FLOAT32_EXACT)
    assert record.stats["closure"] == pytest.approx(0, abs=1e-5)


def uneven_rig():
    base, rng = default_rig(LIGHTS), np.random.default_rng(2)
    enabled = np.ones(LIGHTS, bool)
    enabled[[3, 11]] = False
    return LightRig("uneven", base.directions, None, rng.uniform(0.5, 2, (LIGHTS, 3)), enabled)


def test_gains_are_divided_out_once():
    stage = replace(small_stage(motion=still), rig=uneven_rig())
    images, full, record = demultiplex(stage, stage.frames(60), 27)
    np.testing.assert_allclose(images, pure_olat(stage, 27), atol=2 * FLOAT32_EXACT)
    # The fully lit picture is what the stage emitted, gains and dead lights included.
    np.testing.assert_allclose(full, stage.olat(0).sum(axis=0), atol=20 * FLOAT32_EXACT)
    assert record.stats["closure"] == pytest.approx(0, abs=1e-5)


def test_dead_lights_are_black():
    stage = replace(small_stage(motion=still), rig=uneven_rig())
    images, _, record = demultiplex(stage, stage.frames(60) + np.float32(0.01), 27)
    assert not images[[3, 11]].any()
    assert (record.observations[[3, 11]] == NEVER).all()
    assert images[4].any()


# ---------------------------------------------------------------- quality

def test_saturated_lights_are_flagged():
    stage = small_stage(motion=still, level=3.0)
    frames = np.minimum(stage.frames(60), 1)
    _, _, record = demultiplex(stage, frames, 27)
    share = (stage.olat(0) >= 0.985).mean(axis=(1, 2, 3))
    np.testing.assert_array_equal((record.quality & SATURATED) > 0, share > 0.01)
    assert 0 < (share > 0.01).sum() < LIGHTS


def test_motion_that_cannot_be_tracked_is_flagged():
    """One tracking frame shows another picture."""
    stage = small_stage(motion=still)
    frames = stage.frames(60)
    frames[37] = frames[37, ::-1, ::-1] * 0.3
    _, _, record = demultiplex(stage, frames, 27, config=MOVING)
    assert (record.quality & LOW_FLOW_CONFIDENCE).any()
    _, _, record = demultiplex(stage, stage.frames(60), 27, config=MOVING)
    assert not record.quality.any()


# ---------------------------------------------------------------- several slots per light, mixes

def test_the_better_placed_slot_of_a_light_is_used():
    """Two slots per light: the error of a blend grows with the product of both distances in time."""
    base = small_schedule()
    schedule = LightingSchedule([*base.slots, *base.slots], LIGHTS, stride=10)
    stage = small_stage(motion=still, schedule=schedule)
    images, _, record = demultiplex(stage, stage.frames(120), 47)
    np.testing.assert_allclose(images, stage.olat(0), atol=FLOAT32_EXACT)
    for light, slots in enumerate(schedule.light_slots):
        looks = [(int(p) + stage.phase - 47) % 40 for p in slots]
        assert np.prod(record.observations[light]) == max(a * (a - 40) for a in looks)


def coded_stage(**given):
    """A small invertible code: S-matrix rows of a cyclic difference set of order 19, first 18 lights."""
    squares = {k * k % 19 for k in range(1, 19)}
    row = np.array([1.0 if k == 0 or k in squares else 0.0 for k in range(19)])
    patterns = np.stack([np.roll(row, k) for k in range(19)])[:, :LIGHTS]
    schedule = mixed_schedule(patterns, group=10, tracking_gain=0.12, drive=0.2, stride=7)
    return small_stage(schedule=schedule, **given)


@pytest.mark.parametrize("solver", ["lstsq", "wls"])
def test_a_still_coded_take_is_exact(solver):
    stage = coded_stage(motion=still)
    config = STILL.model_copy(update={"solver": solver})
    images, _, record = demultiplex(stage, stage.frames(70), 28, config=config)
    np.testing.assert_allclose(images, stage.olat(0), atol=FLOAT32_INVERSION)
    assert not record.quality.any()
    assert record.stats["closure"] == pytest.approx(0, abs=1e-4)


def test_a_still_s_matrix_take_is_exact():
    """114 lights behind the S-matrix of order 115; references lie between tracking frames."""
    schedule = multiplexed_114(drive=1 / 58)
    stage = replace(
        small_stage(motion=still, size=(16, 16), radius_px=6.0), rig=default_rig(), schedule=schedule, phase=5
    )
    reference = 85
    assert schedule.kinds[(reference - 5) % 120] != "track"
    images, _, _ = demultiplex(stage, stage.frames(220), reference)
    # Drives are 1/58, so rounding counts 58 times more than at full drive.
    np.testing.assert_allclose(images, stage.olat(0), atol=FLOAT32_INVERSION)


def test_coded_frames_are_aligned_before_they_are_inverted():
    stage = coded_stage(motion=slide(200, 0))
    frames = stage.frames(70)
    reference = 28
    truth = stage.olat(stage.time_s(reference))
    plain, _, _ = demultiplex(stage, frames, reference)
    aligned, full, _ = demultiplex(stage, frames, reference, config=MOVING)
    assert decibels(aligned, truth) > decibels(plain, truth) + 8
    assert decibels(full, truth.sum(axis=0)) > 25


def test_gains_of_a_coded_take():
    stage = replace(coded_stage(motion=still), rig=uneven_rig())
    images, _, _ = demultiplex(stage, stage.frames(70), 28)
    np.testing.assert_allclose(images, pure_olat(stage, 28), atol=3 * FLOAT32_INVERSION)
    assert not images[[3, 11]].any()


def test_a_virtual_reference_moves_with_the_subject():
    """Between two tracking frames of a sliding sphere the imageset shows it half-way."""
    base = small_schedule()
    schedule = LightingSchedule(base.slots, LIGHTS, stride=5)
    stage = small_stage(motion=slide(250, 0), schedule=schedule)
    reference = 32
    assert schedule.kinds[(reference - stage.phase) % 20] != "track"
    images, full, _ = demultiplex(stage, stage.frames(70), reference, config=MOVING)
    truth, anchor = stage.olat(0.032), stage.olat(0.037).sum(axis=0)
    assert decibels(images, truth) > decibels(images, stage.olat(0.037)) + 6
    # No worse than moving the tracking frame by the true 1.25 px, which interpolates once.
    ideal = warp(anchor, np.full((48, 48, 2), (1.25, 0), np.float32))
    assert decibels(full, truth.sum(axis=0)) > decibels(ideal, truth.sum(axis=0)) - 0.5
