"""Reference instants and observations against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olatkit.capture.windows import look_further, observe_slot, reference_ticks, tracking_ticks
from olatkit.schedule import LightingSchedule, Slot, default_114

SCHEDULE = default_114()


@st.composite
def cycles(draw):
    """A cycle of 1 to 40 slots, any stride up to it, tracking anywhere."""
    lights = draw(st.integers(1, 20))
    slots = [Slot("olat", light=n) for n in range(lights)] + [Slot("track", gain=0.1)] * draw(st.integers(0, 20))
    slots = draw(st.permutations(slots))
    return LightingSchedule(slots, lights, stride=draw(st.integers(1, len(slots))))


@given(cycles(), st.integers(-50, 50), st.integers(-30, 30), st.integers(0, 200))
def test_references_match_brute_force(schedule, phase, first, length):
    last, half = first + length, schedule.cycle // 2
    expected = [
        r for r in range(first, last + 1)
        if (r - phase) % schedule.stride == 0 and r - half >= first and r + half <= last
    ]
    assert reference_ticks(first, last, schedule, phase).tolist() == expected


@given(cycles(), st.integers(-50, 50), st.integers(-30, 30), st.integers(0, 200))
def test_tracking_ticks_match_brute_force(schedule, phase, first, length):
    expected = [
        n for n in range(first, first + length + 1) if schedule.slots[(n - phase) % schedule.cycle].kind == "track"
    ]
    assert tracking_ticks(first, first + length, schedule, phase).tolist() == expected


def test_six_seconds_give_147_imagesets():
    ticks = reference_ticks(0, 5999, SCHEDULE, 0)
    assert (ticks[0], ticks[-1], len(ticks)) == (80, 5920, 147)


def test_short_take_at_phase_37():
    ticks = reference_ticks(0, 479, SCHEDULE, 37)
    assert (ticks[0], ticks[-1], len(ticks)) == (77, 397, 9)


def test_147_imagesets_at_every_phase():
    assert {len(reference_ticks(0, 5999, SCHEDULE, phase)) for phase in range(120)} == {147}


def test_default_references_are_tracking_frames():
    for phase in (0, 37, 119):
        assert np.isin(reference_ticks(0, 999, SCHEDULE, phase), tracking_ticks(0, 999, SCHEDULE, phase)).all()


def look(slot, usable=range(-1000, 1000), reference=0, **given):
    return observe_slot(slot, reference, 120, 0, usable, **given)


def test_blend_weights_are_linear_in_time():
    seen = look(30)
    assert (seen.after, seen.before) == (30, -90)
    assert seen.weight_after == 0.75
    assert look(90).weight_after == 0.25


@given(
    slot=st.integers(0, 119), phase=st.integers(0, 119), reference=st.integers(0, 2000),
    mode=st.sampled_from(["blend", "nearest", "causal"]), seed=st.integers(0, 99),
)
def test_observations_match_brute_force(slot, phase, reference, mode, seed):
    """Every look is a usable frame of that slot within a cycle, and the best that the mode allows."""
    usable = set(np.flatnonzero(np.random.default_rng(seed).random(2300) < 0.7).tolist())
    seen = observe_slot(slot, reference, 120, phase, usable, mode=mode)
    shown = {dt for dt in range(-120, 120) if (reference + dt - phase) % 120 == slot and reference + dt in usable}
    after = min((dt for dt in shown if dt >= 0), default=None)
    before = max((dt for dt in shown if dt < 0), default=None)
    if mode == "blend":
        expected = (after, None if after == 0 else before)
    elif mode == "nearest":
        closest = min(shown, key=lambda dt: (abs(dt), dt), default=None)
        expected = (closest, None) if closest is not None and closest >= 0 else (None, closest)
    elif (slot + phase - reference) % 120 == 0:
        expected = (after, None)
    else:
        expected = (None, before)
    assert (seen.after, seen.before) == expected
    assert 0 <= seen.weight_after <= 1
    if seen.after is None:
        assert seen.before is None or seen.weight_after == 0
    elif seen.before is None:
        assert seen.weight_after == 1
    else:
        # Linear interpolation: the weighted mean of the two instants is the reference.
        assert seen.weight_after * seen.after + (1 - seen.weight_after) * seen.before == pytest.approx(0, abs=1e-9)


def test_a_dropped_look_leaves_the_other_one():
    everything = set(range(-200, 200))
    later_only, earlier_only = look(30, everything - {-90}), look(30, everything - {30})
    assert (later_only.after, later_only.before, later_only.weight_after) == (30, None, 1.0)
    assert (earlier_only.after, earlier_only.before, earlier_only.weight_after) == (None, -90, 0.0)
    nothing = look(30, everything - {30, -90})
    assert nothing.after is None
    assert nothing.before is None


@given(slot=st.integers(0, 119), phase=st.integers(0, 119), reference=st.integers(300, 2000), seed=st.integers(0, 99))
def test_further_looks_match_brute_force(slot, phase, reference, seed):
    """On either side the nearest usable look within two cycles."""
    usable = set(np.flatnonzero(np.random.default_rng(seed).random(2600) < 0.5).tolist())
    near = observe_slot(slot, reference, 120, phase, usable)
    seen = look_further(near, reference, 120, phase, usable)
    shown = [dt for dt in range(-240, 240) if (reference + dt - phase) % 120 == slot and reference + dt in usable]
    after = min((dt for dt in shown if dt >= 0), default=None)
    before = max((dt for dt in shown if dt < 0), default=None)
    assert (seen.after, seen.before) == (after, None if after == 0 else before)
    if None in (seen.after, seen.before):
        assert seen.weight_after == (0 if seen.after is None else 1)
    else:
        assert seen.weight_after * seen.after + (1 - seen.weight_after) * seen.before == pytest.approx(0, abs=1e-9)


def test_nearest_prefers_the_earlier_of_two_equally_far():
    assert look(60, mode="nearest").before == -60
    assert look(59, mode="nearest").after == 59
    assert look(61, mode="nearest").before == -59


def test_causal_never_looks_ahead():
    for slot in range(1, 120):
        seen = look(slot, mode="causal")
        assert (seen.after, seen.before) == (None, slot - 120)


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode 'closest' is unknown, expected blend, nearest or causal"):
        look(3, mode="closest")
