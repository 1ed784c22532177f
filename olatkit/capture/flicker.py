"""Frames that do not fit their slot: flicker, flashes, black frames."""

import numpy as np
from scipy.ndimage import percentile_filter

from olatkit.schedule import LightingSchedule

BRIGHTNESS_FLOOR = 0.3  # of the median frame mean: rear lights change most as the head turns and matter least
MOTION_ALLOWANCE = 3.5  # times the local change per cycle; 3.1 is the most seen on a head at 400 px/s, 128 px wide


def find_bad_frames(
    features: np.ndarray, ticks: np.ndarray, schedule: LightingSchedule, phase: int, *, sigma: float = 5.0,
    min_change: float = 0.1,
) -> np.ndarray:
    """Frames whose brightness does not fit the same slot one cycle before and after (flicker, flash, black frame).

    The logarithm of a frame's mean must lie between those of the cycles before and after and their continuations,
    so that a head that turns, and turns back, raises no alarm. In the first and last cycle the nearest cycles are
    continued. A frame with fewer than two such companions is not judged. Where brightness changes fast all around
    (over the 61 nearest frames) more is allowed, since rear lights flare up as a head turns.

    Parameters
    ----------
    features, ticks, schedule
        As for :func:`olatkit.capture.sync.find_phase`; ticks with gaps found.
    phase : int
        Phase of the take.
    sigma : float
        Deviation, in robust standard deviations (MAD) of the whole take, above which a frame is bad.
    min_change : float
        Smallest change that counts, relative to the frame's mean plus 0.3 of the take's median.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    floor = BRIGHTNESS_FLOOR * np.median(features[:, 0])
    level = np.log(np.maximum(features[:, 0] + floor, 1e-3 * floor + 1e-12))
    b3, b2, b1, a1, a2, a3 = (_values_at(level, ticks, ticks + k * schedule.cycle) for k in (-3, -2, -1, 1, 2, 3))
    both = ~np.isnan(b1) & ~np.isnan(a1)
    inner = np.stack([b1, a1, 2 * b1 - b2, 2 * a1 - a2])
    outer = np.stack([b1, a1, b2, a2, 2 * b1 - b2, 2 * a1 - a2, 3 * b1 - 3 * b2 + b3, 3 * a1 - 3 * a2 + a3])
    judged = both | ~np.isnan(b1 + b2) | ~np.isnan(a1 + a2)
    deviation = np.where(both, _outside(level, inner), _outside(level, outer))
    change = np.nan_to_num(np.abs(level - np.where(np.isnan(b1), a1, b1)))
    allowed = np.maximum(np.log1p(min_change), MOTION_ALLOWANCE * percentile_filter(change, 85, 61, mode="nearest"))
    bad = np.zeros(len(level), bool)
    for group in (both, judged & ~both):
        if group.any():
            spread = 1.4826 * np.median(np.abs(deviation[group]))
            bad[group] = np.abs(deviation[group]) > np.maximum(sigma * spread, allowed[group])
    return bad


def _outside(level: np.ndarray, hull: np.ndarray) -> np.ndarray:
    """How far each level lies above (positive) or below the range of the values (K, N), NaN being no value."""
    return level - np.clip(level, np.fmin.reduce(hull), np.fmax.reduce(hull))


def _values_at(values: np.ndarray, ticks: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values of the frames at the wanted ticks, NaN where there is none."""
    at = np.minimum(np.searchsorted(ticks, wanted), len(ticks) - 1)
    return np.where(ticks[at] == wanted, values[at], np.nan)
