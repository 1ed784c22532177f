"""Camera clock ticks from timestamps."""

import numpy as np

from olatkit.errors import CaptureError


def ticks_from_times(times_s: np.ndarray, frame_rate_hz: float) -> np.ndarray:
    """Number the frames by camera clock, so that dropped frames leave gaps.

    Parameters
    ----------
    times_s : ndarray, shape (N,)
        Timestamps [s]; each may be off by less than half a frame interval, and the camera's clock may differ from
        the nominal rate by some percent (its period is fitted).
    frame_rate_hz : float
        Nominal frame rate.

    Returns
    -------
    ndarray of int64, shape (N,)
        Ticks, strictly ascending from 0.

    Raises
    ------
    CaptureError
        A timestamp that is not finite, repeats or goes backwards; frames that typically lie more than one interval
        apart, or at another rate than the nominal one.
    """
    times = np.asarray(times_s, float)
    if times.ndim != 1 or times.size == 0:
        raise CaptureError(f"timestamps have shape {times.shape}, expected one per frame")
    if times.size == 1:
        return np.zeros(1, np.int64)
    intervals = np.diff(times)
    wrong = np.flatnonzero(~(intervals > 0))
    if wrong.size:
        n = int(wrong[0]) + 1
        raise CaptureError(
            f"frame {n} has time {times[n]:.9g} s after {times[n - 1]:.9g} s of frame {n - 1}, expected ascending "
            "times; the file's time block may be damaged: export the take again"
        )
    period = float(np.median(intervals))
    apart = period * frame_rate_hz
    if abs(apart - 1) > 0.1:
        raise CaptureError(
            f"frames lie {period * 1e6:.6g} us apart, {apart:.4g} intervals at the nominal {frame_rate_hz:g} Hz, "
            "expected 1: a lighting cycle needs every frame. Save the take whole, or correct its frame rate"
        )
    ends = np.concatenate([[-1], np.flatnonzero(intervals > 1.5 * period), [len(intervals)]])
    longest = int(np.diff(ends).argmax())
    run = times[ends[longest] + 1 : ends[longest + 1] + 1]  # without a gap: its slope is the period to high precision
    period = np.polyfit(np.arange(len(run)), run, 1)[0] if len(run) > 2 else period
    ticks = np.concatenate([[0], np.cumsum(np.round(intervals / period))])
    for _ in range(2):  # fitting the clock keeps jitter and a period that is slightly off from adding up
        slope, start = np.polyfit(ticks, times, 1)
        ticks = np.round((times - start) / slope)
    ticks = (ticks - ticks[0]).astype(np.int64)
    same = np.flatnonzero(np.diff(ticks) < 1)
    if same.size:
        n = int(same[0]) + 1
        raise CaptureError(
            f"frames {n - 1} and {n} lie {intervals[n - 1] * 1e6:.6g} us apart, expected about {period * 1e6:.6g} us; "
            "the timestamps are too irregular to number the frames: export the take again"
        )
    return ticks
