"""The leak of highlights that the sensor cut off.

Where a frame is saturated, what leaks into the next one is more than its recorded values say. How much more is not
recorded anywhere, but the next frame shows it: as a bright patch, exactly where the highlight was cut, on top of a
picture that is otherwise known all around the patch.
"""

from collections.abc import Iterator

import numba
import numpy as np

EXCESS = 1.0  # mean height of cut highlights above full scale that is assumed; 0.5 to 2 give nearly the same
SWEEPS = 300
SETTLED = 1e-4  # of full scale, change per sweep at which the interpolation is done
OVER_RELAXATION = 1.6


def remove_hidden_leak(frame: np.ndarray, cut: np.ndarray, eps: float, *, mosaic: bool) -> None:
    """Lower a frame, in place, where the frame before was cut, as far as its surroundings make it plausible.

    A pixel shows v = x + z, its own light x and the hidden leak z >= 0. The surroundings tell x: interpolated
    harmonically (as a membrane, the mean of its surroundings as a random walk meets them), with mean m and variance
    s², which is large where the picture around the patch varies. With z distributed exponentially with mean
    μ = ε EXCESS / (1 - ε), the most probable x is min(v, m + s²/μ). Nothing is ever raised, nothing outside of
    ``cut`` is touched, and the smaller ε is, the less is changed.

    Parameters
    ----------
    frame : ndarray, shape (H, W) or (H, W, 3), float32
        Linear frame, 1 = full scale, with the leak of the recorded values taken out.
    cut : ndarray of bool, shape of the frame
        Where the frame before is saturated.
    eps : float
        Share that leaks, 0 < ε < 0.5.
    mosaic : bool
        Whether pixels of one colour lie two apart.
    """
    mean_leak = eps * EXCESS / (1 - eps)
    for plane in _planes(frame, mosaic):
        y, x = np.nonzero(cut[plane])
        if not len(y):
            continue
        values = np.ascontiguousarray(frame[plane], np.float64)
        mean, square = values.copy(), values**2
        _settle(mean, y, x)
        _settle(square, y, x)
        middle = mean[y, x]
        plausible = middle + np.maximum(square[y, x] - middle**2, 0) / mean_leak
        values[y, x] = np.minimum(values[y, x], plausible)
        frame[plane] = values


def _planes(frame: np.ndarray, mosaic: bool) -> Iterator[tuple[slice | int, ...]]:
    """Index of each plane of one colour."""
    if frame.ndim == 3:
        yield from ((slice(None), slice(None), channel) for channel in range(frame.shape[2]))
    elif mosaic:
        yield from ((slice(dy, None, 2), slice(dx, None, 2)) for dy in (0, 1) for dx in (0, 1))
    else:
        yield slice(None), slice(None)


@numba.njit(cache=True, nogil=True)
def _settle(plane, ys, xs):
    """Replace pixels by the mean of their four neighbours until that holds for all of them (over-relaxed)."""
    height, width = plane.shape
    for _ in range(SWEEPS):
        largest = 0.0
        for i in range(len(ys)):
            y, x = ys[i], xs[i]
            total, count = 0.0, 0
            if y > 0:
                total, count = total + plane[y - 1, x], count + 1
            if y < height - 1:
                total, count = total + plane[y + 1, x], count + 1
            if x > 0:
                total, count = total + plane[y, x - 1], count + 1
            if x < width - 1:
                total, count = total + plane[y, x + 1], count + 1
            change = OVER_RELAXATION * (total / max(count, 1) - plane[y, x])
            plane[y, x] += change
            largest = max(largest, abs(change))
        if largest < SETTLED:
            break
