"""The simulated stage: exposure, schedule, crosstalk, dropped frames."""

from dataclasses import replace

import numpy as np
import pytest

from olatkit.errors import ConfigError
from olatkit.rig import LightRig, default_rig
from olatkit.schedule import LightingSchedule, Slot, default_114, grouped_schedule, mixed_schedule
from olatkit.simulate.stage import Disturbances, Stage, choose_references
from olatkit.simulate.subject import Subject


@pytest.fixture(scope="module")
def rig() -> LightRig:
    return default_rig(12)


@pytest.fixture(scope="module")
def schedule() -> LightingSchedule:
    return grouped_schedule(np.random.default_rng(1).permutation(12), group=4, tracking_gain=0.2, stride=5)


@pytest.fixture(scope="module")
def stage(subject: Subject, rig: LightRig, schedule: LightingSchedule) -> Stage:
    return Stage(subject, rig, schedule, phase=4)


@pytest.fixture(scope="module")
def still(subject: Subject) -> Subject:
    """The same person at rest, at half the size; its mesh is finer than that needs, which saves seconds of painting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Subject, "_build_model", lambda _self: subject.model)
        return Subject(3, (48, 40), speed_px=0, expression=0)


def test_a_tracking_frame_is_its_drive_times_the_sum_of_all_lights(stage: Stage) -> None:
    tick = 9
    assert stage.schedule.slots[(tick - 4) % 15].kind == "track"
    expected = stage.schedule.tracking_gain * stage.olat(tick).sum(0)
    np.testing.assert_allclose(stage.light(tick), expected, atol=1e-5)


def test_each_slot_shows_its_light(stage: Stage) -> None:
    for tick in (5, 6, 17):
        light = stage.schedule.slot_lights[(tick - 4) % 15]
        np.testing.assert_allclose(stage.light(tick), stage.olat(tick)[light], atol=1e-6)


def test_exposure_is_as_stated(stage: Stage) -> None:
    inside = stage.subject.alpha(0.0) > 0.5
    olat = stage.olat(0)[:, inside]
    assert np.percentile(olat, 99.5) == pytest.approx(0.6, rel=1e-4)
    assert np.percentile(stage.schedule.tracking_gain * olat.sum(0), 99.5) == pytest.approx(0.7, rel=1e-4)


@pytest.mark.slow
def test_crosstalk_is_the_recursion_when_still(still: Subject, rig: LightRig, schedule: LightingSchedule) -> None:
    clean = Stage(still, rig, schedule)
    leaky = Stage(still, rig, schedule, disturbances=Disturbances(crosstalk=0.08))
    for tick in range(1, 16):
        expected = 0.92 * clean.light(tick) + 0.08 * clean.light(tick - 1)
        np.testing.assert_allclose(leaky.light(tick), expected, atol=1e-5)


def test_gains_and_dead_lights_are_honoured(still: Subject, rig: LightRig, schedule: LightingSchedule) -> None:
    gains, enabled = np.ones((12, 3)), np.ones(12, bool)
    gains[3], enabled[7] = [0.5, 1.0, 1.5], False
    odd = Stage(still, LightRig("odd", rig.directions, None, gains, enabled), schedule)
    ticks = {int(light): p for p, light in enumerate(odd.schedule.slot_lights) if light >= 0}
    np.testing.assert_allclose(odd.light(ticks[3]), odd.olat(0)[3] * gains[3], atol=1e-6)
    assert not odd.light(ticks[7]).any()


def test_ambient_light_is_in_every_frame(still: Subject, rig: LightRig, schedule: LightingSchedule) -> None:
    lit, dim = (Stage(still, rig, schedule, disturbances=Disturbances(ambient=a)) for a in (0.1, 0.0))
    difference = [lit.light(t) - dim.light(t) for t in (0, 1, 2)]
    np.testing.assert_allclose(difference[0], difference[1], atol=1e-5)
    inside = still.alpha(0.0) > 0.5
    assert np.percentile(difference[2][inside], 99.5) == pytest.approx(0.06, rel=1e-3)


def test_mixed_slots_show_the_sum_of_their_lights(still: Subject, rig: LightRig) -> None:
    patterns = np.tril(np.ones((12, 12)))
    stage = Stage(still, rig, mixed_schedule(patterns, group=4, tracking_gain=0.1, stride=5))
    olat = stage.olat(0)
    np.testing.assert_allclose(stage.light(3), olat[:3].sum(0), atol=1e-5)


def test_dark_and_matte_slots(still: Subject, rig: LightRig, schedule: LightingSchedule) -> None:
    longer = replace(schedule, slots=[*schedule.slots, Slot("dark"), Slot("matte")])
    stage = Stage(still, rig, longer)
    assert not stage.light(15).any()
    matte = stage.light(16)
    assert not matte[still.alpha(0.0) == 1].any()
    assert (matte[still.alpha(0.0) == 0] == np.float32(0.6)).all()


def test_frames_do_not_depend_on_their_order(stage: Stage) -> None:
    later, first = stage.frame(6), stage.frame(3)
    np.testing.assert_array_equal(stage.frame(3), first)
    np.testing.assert_array_equal(stage.frame(6), later)


@pytest.mark.parametrize("phase, ticks, first, last, count", [(0, 6000, 80, 5920, 147), (37, 480, 77, 397, 9)])
def test_reference_instants(still: Subject, phase: int, ticks: int, first: int, last: int, count: int) -> None:
    # Only the schedule counts here; calibration needs no more than a few pixels.
    stage = object.__new__(Stage)
    stage.schedule, stage.phase = default_114(), phase
    found = stage.reference_ticks(ticks)
    assert (found[0], found[-1], len(found)) == (first, last, count)


def test_chosen_references_are_spread() -> None:
    np.testing.assert_array_equal(choose_references(np.arange(80, 481, 40), 3), [80, 280, 480])
    assert len(choose_references(np.arange(5), None)) == 5
    assert len(choose_references(np.arange(5), 0)) == 0


def test_dropped_frames_are_repeatable_and_never_the_ends() -> None:
    lost = Disturbances(drop=0.2, seed=4).dropped_ticks(200)
    assert 40 <= len(lost) <= 43
    assert lost[0] > 0
    assert lost[-1] < 199
    np.testing.assert_array_equal(lost, Disturbances(drop=0.2, seed=4).dropped_ticks(200))
    assert len(Disturbances().dropped_ticks(200)) == 0


def test_a_rig_of_another_size_is_refused(subject: Subject, schedule: LightingSchedule) -> None:
    with pytest.raises(ConfigError, match="has 11 lights, schedule 'grouped' expects 12"):
        Stage(subject, default_rig(11), schedule)


@pytest.mark.parametrize("wrong", [{"crosstalk": 0.7}, {"ambient": -1.0}, {"drop": 0.95}])
def test_impossible_disturbances_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Disturbances(**wrong)
