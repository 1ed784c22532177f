"""Laws of lighting schedules: the default cycle, codes, validation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT64_EXACT, MULTIPLEX_GAIN

from olatkit.capture.multiplex import multiplex_gain
from olatkit.errors import ConfigError
from olatkit.schedule import (
    LightingSchedule,
    Slot,
    default_114,
    grouped_schedule,
    hadamard_116,
    mixed_schedule,
    multiplexed_114,
    s_matrix_115,
    schedule_from_document,
    schedule_to_document,
)


def test_default_cycle():
    schedule = default_114()
    assert (schedule.cycle, schedule.stride, schedule.n_lights) == (120, 40, 114)
    np.testing.assert_array_equal(schedule.tracking_slots, np.arange(0, 120, 20))
    assert sorted(schedule.slot_lights[schedule.coded_slots]) == list(range(114))
    assert all(len(slots) == 1 for slots in schedule.light_slots)
    # The order is part of the files that users have: it may never change.
    np.testing.assert_array_equal(
        schedule.slot_lights[schedule.coded_slots], np.random.default_rng(114).permutation(114)
    )


def test_default_drive_is_one_light_or_all_of_them():
    schedule = default_114(tracking_gain=0.05)
    drive = schedule.drive
    assert (drive[schedule.tracking_slots] == 0.05).all()
    assert (drive[schedule.coded_slots].sum(axis=1) == 1).all()
    assert schedule.tracking_gain == 0.05
    with pytest.raises(ValueError, match="read-only"):
        drive[0, 0] = 1


def test_hadamard_matrix():
    matrix = hadamard_116()
    assert set(np.unique(matrix)) == {-1, 1}
    np.testing.assert_array_equal(matrix @ matrix.T, 116 * np.eye(116, dtype=int))


def test_s_matrix():
    """58 ones in every row and column, any two rows share 29: S Sᵀ = 29 (I + J)."""
    matrix = s_matrix_115()
    assert set(np.unique(matrix)) == {0, 1}
    np.testing.assert_array_equal(matrix @ matrix.T, 29 * (np.eye(115) + 1))
    np.testing.assert_array_equal(matrix.sum(axis=0), 58)


def test_gains_of_codes():
    """116 / (2 sqrt 115) for the S-matrix, 1 for single lights; dropping a row as well costs a third."""
    matrix = s_matrix_115()
    assert multiplex_gain(matrix[:, :114]) == pytest.approx(5.41, abs=MULTIPLEX_GAIN)
    assert multiplex_gain(np.eye(114)) == pytest.approx(1)
    assert multiplex_gain(matrix[:114, :114]) == pytest.approx(3.82, abs=MULTIPLEX_GAIN)


def test_s_matrix_inverts_exactly():
    lights = np.random.default_rng(0).random((114, 500))
    drive = s_matrix_115()[:, :114]
    recovered = np.linalg.lstsq(drive, drive @ lights, rcond=None)[0]
    np.testing.assert_allclose(recovered, lights, atol=FLOAT64_EXACT)


def test_coded_cycle():
    schedule = multiplexed_114()
    assert (schedule.cycle, len(schedule.tracking_slots), len(schedule.coded_slots)) == (120, 5, 115)
    assert schedule.is_multiplexed
    np.testing.assert_array_equal(schedule.drive[schedule.coded_slots], s_matrix_115()[:, :114])
    assert not np.isin(np.arange(0, 120, 40), schedule.tracking_slots).all()  # references between tracking frames


def test_drive_of_a_mix():
    schedule = mixed_schedule([[1, 0.5], [0, 1]], group=2, tracking_gain=0.2, drive=0.5, stride=1)
    np.testing.assert_allclose(schedule.drive, [[0.2, 0.2], [0.5, 0.25], [0, 0.5]])


@st.composite
def schedules(draw):
    lights = draw(st.integers(1, 8))
    slots = [Slot("olat", light=n) for n in range(lights)]
    extra = st.sampled_from([
        Slot("track", gain=0.25), Slot("dark"), Slot("matte"),
        Slot("mix", weights=tuple((n, 0.5**n) for n in range(lights))),
    ])
    slots = draw(st.permutations(slots + draw(st.lists(extra, max_size=6))))
    return LightingSchedule(
        slots, lights, draw(st.floats(1, 1e5)), draw(st.integers(1, len(slots))), draw(st.integers(-500, 500)), "any",
    )


@given(schedules())
def test_documents_keep_everything(schedule):
    again = schedule_from_document(schedule_to_document(schedule))
    assert again == schedule
    np.testing.assert_array_equal(again.drive, schedule.drive)


def olat(*lights):
    return [Slot("olat", light=n) for n in lights]


def test_a_light_that_is_never_lit_is_named():
    with pytest.raises(ConfigError, match=r"light 57 never has its own slot \(113 of 114 covered\)"):
        LightingSchedule(olat(*(n for n in range(114) if n != 57)), 114)


def test_a_light_seen_only_in_a_mix_needs_an_invertible_mix():
    both = Slot("mix", weights=((0, 1.0), (1, 1.0)))
    LightingSchedule([both, *olat(0)], 2, stride=1)
    with pytest.raises(ConfigError, match="separate only 1 of 2 lights"):
        LightingSchedule([both, both], 2, stride=1)


def test_three_neighbouring_lights_are_singular():
    """Known trap: 3 divides 114, so runs of three cannot be told apart."""
    patterns = sum(np.roll(np.eye(114), k, axis=1) for k in range(3))
    with pytest.raises(ConfigError, match="separate only 112 of 114"):
        mixed_schedule(patterns, group=114, tracking_gain=0.1)


@pytest.mark.parametrize("change, message", [
    ({"slots": []}, "no frames in the cycle"),
    ({"slots": olat(0, 1, 5)}, "slot 2 lights light 5, expected 0 to 1"),
    ({"n_lights": 0}, "n_lights is 0"),
    ({"frame_rate_hz": float("nan")}, "fps is nan"),
    ({"frame_rate_hz": -1.0}, "fps is -1"),
    ({"stride": 3}, "stride is 3, expected 1 to the cycle length 2"),
    ({"stride": 0}, "stride is 0"),
    ({"slots": [*olat(0, 1), Slot("mix", weights=((0, float("nan")),))]}, "drives light 0 with nan"),
])
def test_impossible_schedules(change, message):
    with pytest.raises(ConfigError, match=message):
        LightingSchedule(**{"slots": olat(0, 1), "n_lights": 2, "stride": 1, **change})


def test_impossible_slots():
    with pytest.raises(ConfigError, match="kind 'strobe' is unknown"):
        Slot("strobe")
    with pytest.raises(ConfigError, match="gain 0"):
        Slot("track", gain=0)
    with pytest.raises(ConfigError, match="drives light 3 2 times"):
        Slot("mix", weights=((3, 0.5), (1, 0.5), (3, 0.5)))


def test_tracking_frames_share_one_gain():
    schedule = LightingSchedule([Slot("track", gain=0.1), Slot("track", gain=0.2), *olat(0)], 1, stride=1)
    with pytest.raises(ConfigError, match=r"tracking gains \[0.1, 0.2\], expected exactly one"):
        schedule.tracking_gain


def test_phase_counts_modulo_the_cycle():
    assert LightingSchedule(olat(0, 1), 2, stride=1, phase=-1).phase == 1


@pytest.mark.parametrize("change, message", [
    ({"version": 2}, "version 2, expected 1"),
    ({"cycle": 3}, "2 frames listed, expected the cycle length 3"),
    ({"frames": "all"}, "'frames' is plain text"),
    ({"frames": [{"k": "olat", "l": 0}, {"l": 1}]}, "frame 1 is"),
    ({"frames": [{"k": "olat", "l": "first"}, {"k": "olat", "l": 1}]}, "frame 0 is"),
    ({"frames": [{"k": "olat", "l": 0}, 7]}, "frame 1 is 7"),
    ({"fps": None}, "doc: "),
    ({"stride": "forty"}, "doc: "),
])
def test_damaged_documents(change, message):
    document = schedule_to_document(LightingSchedule(olat(0, 1), 2, stride=1))
    with pytest.raises(ConfigError, match=message):
        schedule_from_document({**document, **change}, source="doc")


@pytest.mark.parametrize("key", ["fps", "cycle", "stride", "n_lights", "frames"])
def test_missing_keys(key):
    document = schedule_to_document(LightingSchedule(olat(0, 1), 2, stride=1))
    del document[key]
    with pytest.raises(ConfigError, match=f"key '{key}' is missing"):
        schedule_from_document(document)


def test_groups_need_not_divide_the_lights():
    schedule = grouped_schedule(range(10), group=4, tracking_gain=0.1, stride=3)
    np.testing.assert_array_equal(schedule.tracking_slots, [0, 5, 10])
