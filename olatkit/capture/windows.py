"""Which frames make an imageset: reference instants and observations, in pure integer code.

Time is counted in ticks of the camera clock (one tick = one frame interval); a stored frame has a tick, and dropped
frames leave gaps. Slot p of the cycle is shown at ticks n with ``(n - phase) % cycle == p``.
"""

from dataclasses import dataclass

import numpy as np

from olatkit.schedule import LightingSchedule


@dataclass(frozen=True)
class Observation:
    """The two looks at one coded slot around a reference instant.

    ``after`` and ``before`` are ticks relative to the reference (after >= 0 > before) or None where no usable
    frame exists; ``weight_after`` is the weight of the later one, 1 or 0 if one-sided. Both None: never seen.
    """

    slot: int
    after: int | None
    before: int | None
    weight_after: float


def reference_ticks(first: int, last: int, schedule: LightingSchedule, phase: int) -> np.ndarray:
    """Ticks of the imagesets of a take that was recorded from tick ``first`` to ``last``, ascending.

    They lie at ``phase + k * stride`` with half a cycle of frames on both sides: r - P/2 >= first and
    r + P/2 <= last (the tracking frame that closes the window included).
    """
    half = schedule.cycle // 2
    start = first + half + (phase - first - half) % schedule.stride
    return np.arange(start, last - half + 1, schedule.stride, dtype=np.int64)


def tracking_ticks(first: int, last: int, schedule: LightingSchedule, phase: int) -> np.ndarray:
    """Ticks from ``first`` to ``last`` that hold a tracking slot, ascending."""
    ticks = np.arange(first, last + 1, dtype=np.int64)
    return ticks[np.isin((ticks - phase) % schedule.cycle, schedule.tracking_slots)]


def observe_slot(
    slot: int,
    reference: int,
    cycle: int,
    phase: int,
    usable,
    *,
    mode: str = "blend",
) -> Observation:
    """Choose the frames of ``slot`` around tick ``reference``.

    Parameters
    ----------
    slot : int
        Slot of the cycle.
    reference : int
        Reference tick.
    cycle, phase : int
        Length of the cycle and tick of its slot 0.
    usable : container of int
        Ticks that hold a good frame.
    mode : {'blend', 'nearest', 'causal'}
        'blend' weighs both looks linearly in time, so that a steady change of shading cancels: a light seen a
        ticks after and b before gets weights b/(a+b) and a/(a+b). 'nearest' takes the closer one (a tie goes to
        the earlier), 'causal' the earlier one alone.
    """
    a = (slot + phase - reference) % cycle
    b = a - cycle
    after = a if reference + a in usable else None
    before = b if reference + b in usable else None
    if mode == "causal":
        return Observation(slot, None, before, 0.0) if a else Observation(slot, after, None, 1.0)
    if mode == "nearest":
        if after is not None and (before is None or a < -b):
            return Observation(slot, after, None, 1.0)
        return Observation(slot, None, before, 0.0)
    if mode != "blend":
        raise ValueError(f"observation mode {mode!r} is unknown, expected blend, nearest or causal")
    if a == 0 and after is not None:
        return Observation(slot, 0, None, 1.0)
    if after is None or before is None:
        return Observation(slot, after, before, 0.0 if after is None else 1.0)
    return Observation(slot, after, before, -b / cycle)


def look_further(seen: Observation, reference: int, cycle: int, phase: int, usable) -> Observation:
    """The same observation for a blend, with looks one cycle further away in place of missing ones.

    Two looks on either side, one of them far, still cancel a steady change of shading; a single one does not.
    Parameters are those of :func:`observe_slot`.
    """
    if seen.after == 0 or (seen.after is not None and seen.before is not None):
        return seen
    a = (seen.slot + phase - reference) % cycle
    after = a + cycle if seen.after is None and reference + a + cycle in usable else seen.after
    before = a - 2 * cycle if seen.before is None and reference + a - 2 * cycle in usable else seen.before
    if after is None or before is None:
        return Observation(seen.slot, after, before, 0.0 if after is None else 1.0)
    return Observation(seen.slot, after, before, -before / (after - before))
