"""Frames that were lost or are bad: further looks, single looks, neighbouring lights."""

import numpy as np
import pytest
from one_imageset import MOVING, decibels, demultiplex
from small_take import LIGHTS, small_stage
from synthetic import slide, still
from tolerances import FLOAT32_EXACT

from olatkit.capture.demultiplex import NEVER, neighbours
from olatkit.errors import CaptureError
from olatkit.imageset import INTERPOLATED, ONE_SIDED
from olatkit.rig import default_rig


def test_dropped_frames_leave_one_sided_lights():
    stage = small_stage(motion=still)
    dropped = [29, 35, 22]  # none a tracking frame
    kept = np.setdiff1d(np.arange(60), dropped)
    images, _, record = demultiplex(stage, stage.frames(60)[kept], 27, ticks=kept)
    np.testing.assert_allclose(images, stage.olat(0), atol=FLOAT32_EXACT)
    lights = stage.schedule.slot_lights[(np.array(dropped) - stage.phase) % 20]
    assert sorted(np.flatnonzero(record.quality & ONE_SIDED)) == sorted(lights)
    assert (record.observations[lights] == NEVER).sum() == 3


@pytest.mark.parametrize("lost", [[49], [38], [49, 29]])
def test_a_look_a_cycle_further_away_takes_the_place_of_a_lost_one(lost):
    """Light that changes steadily is exact in a blend of looks on both sides, near or far; one look alone is not."""
    stage = small_stage(motion=still)
    frames = stage.frames(110) * (1 + 0.004 * np.arange(-47, 63, dtype=np.float32))[:, None, None, None]
    images, _, record = demultiplex(stage, frames, 47, config=MOVING, bad=lost)
    np.testing.assert_allclose(images, stage.olat(0), atol=1e-4)
    lights = np.unique(stage.schedule.slot_lights[(np.array(lost) - stage.phase) % 20])
    assert np.flatnonzero(record.quality & ONE_SIDED).tolist() == lights.tolist()
    after, before = record.observations[lights[0]]
    assert after - before == (60 if len(lost) == 2 else 40)
    assert record.weights_after[lights[0]] == pytest.approx(-before / (after - before))


def test_motion_of_near_looks_does_not_depend_on_lost_frames():
    stage = small_stage(motion=slide(100, 0))
    whole, _, _ = demultiplex(stage, stage.frames(110), 47, config=MOVING)
    images, _, record = demultiplex(stage, stage.frames(110), 47, config=MOVING, bad=[49])
    lost = int(np.flatnonzero(record.quality & ONE_SIDED)[0])
    others = np.arange(LIGHTS) != lost
    np.testing.assert_array_equal(images[others], whole[others])
    assert decibels(images[lost], stage.olat(0.047)[lost]) > decibels(whole[lost], stage.olat(0.047)[lost]) - 3


def test_bad_frames_are_not_used():
    stage = small_stage(motion=still)
    frames = stage.frames(60)
    frames[29] = 7.0
    images, _, record = demultiplex(stage, frames, 27, bad=[29])
    np.testing.assert_allclose(images, stage.olat(0), atol=FLOAT32_EXACT)
    assert (record.quality & ONE_SIDED).sum() == 1


def test_a_light_without_any_look_comes_from_its_neighbours():
    stage = small_stage(motion=still)
    slot = int(np.flatnonzero(stage.schedule.slot_lights == 4)[0])
    lost = [t for t in range(60) if (t - stage.phase) % 20 == slot]
    images, _, record = demultiplex(stage, stage.frames(60), 27, bad=lost)
    assert np.flatnonzero(record.quality & INTERPOLATED).tolist() == [4]
    assert (record.observations[4] == NEVER).all()
    near, shares = neighbours(stage.rig, 4, [n != 4 for n in range(LIGHTS)])
    np.testing.assert_allclose(images[4], np.tensordot(shares, stage.olat(0)[near], 1), atol=FLOAT32_EXACT)


def test_neighbours_are_the_nearest_and_their_shares_barycentric():
    rig = default_rig()
    near, shares = neighbours(rig, 20, [n != 20 for n in range(114)])
    expected = np.argsort(-(rig.directions @ rig.directions[20]))[1:4]
    assert sorted(near) == sorted(expected)
    assert shares.sum() == pytest.approx(1)
    assert (shares >= 0).all()
    middle = shares @ rig.directions[near]
    assert np.degrees(np.arccos(middle @ rig.directions[20] / np.linalg.norm(middle))) < 8


def test_too_few_neighbours():
    with pytest.raises(CaptureError, match="light 0 was never seen, and of the others only 2"):
        neighbours(default_rig(5), 0, [False, True, True, False, False])


def test_a_missing_tracking_frame_is_bridged():
    stage = small_stage(motion=slide(100, 0))
    tracking = 37
    assert stage.schedule.kinds[(tracking - stage.phase) % 20] == "track"
    kept = np.delete(np.arange(60), tracking)
    images, _, _ = demultiplex(stage, stage.frames(60)[kept], 27, ticks=kept, config=MOVING)
    whole, _, _ = demultiplex(stage, stage.frames(60), 27, config=MOVING)
    truth = stage.olat(0.027)
    assert decibels(images, truth) > decibels(whole, truth) - 1


def test_no_tracking_frame_at_all():
    stage = small_stage(motion=still)
    tracking = [t for t in range(60) if stage.schedule.kinds[(t - stage.phase) % 20] == "track"]
    with pytest.raises(CaptureError, match="tick 27: no tracking frame within a cycle"):
        demultiplex(stage, stage.frames(60), 27, bad=tracking)
