"""The brightness moments of frames, and what they should be under each slot of a schedule.

A frame is reduced to three numbers, its mean and its mean x and y moment. A convex subject lit from one side is
bright on that side, so these follow the light's direction closely enough that the order of the lights, known from
the schedule, can be found in the stream by correlation with a Lambert sphere.
"""

import numba
import numpy as np
from scipy.ndimage import uniform_filter1d

from olatkit.errors import CaptureError
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule
from olatkit.wording import counted

MOMENT_FLOOR = 0.1  # of the median frame mean: keeps moments of nearly black frames from being noise over noise
_GRID = 128  # cells along the longer side: 65,000 pixels give a 4K frame's moments to about a percent

_NATIVE = {np.dtype(kind) for kind in (np.uint8, np.uint16, np.float32, np.float64)}  # what is compiled for


def frame_features(frames: np.ndarray, *, black_level: float, white_level: float) -> np.ndarray:
    """Mean, x moment and y moment of every frame.

    Parameters
    ----------
    frames : ndarray, shape (T, H, W) or (T, H, W, 3)
        Linear frames, integer or float, rows top-down. Mosaics are read in whole 2x2 cells, so that every colour
        counts alike wherever the subject is. Large frames are sampled on a coarse grid of such cells.
    black_level, white_level : float
        Values of no light and of full scale.

    Returns
    -------
    ndarray, shape (T, 3), float64
        Mean of I, x I and y I; I = 1 at full scale, x to the right and y up from the centre, ±1 at the edges of
        the longer side.
    """
    if frames.ndim not in (3, 4) or min(frames.shape[1:3]) < 2:
        raise ValueError(f"frames have shape {frames.shape}, expected (T, H, W) or (T, H, W, 3) of at least 2x2 pixels")
    height, width = (n // 2 * 2 for n in frames.shape[1:3])
    step = 2 * -(-max(height, width) // (2 * _GRID))
    first = (step - 2) // 4 * 2  # the middle cell of each step
    half = max(height, width) / 2
    x = (np.arange(first, width, step) + 1 - width / 2) / half
    y = (height / 2 - np.arange(first, height, step) - 1) / half
    if frames.dtype.newbyteorder("=") not in _NATIVE:
        frames = frames.astype(np.float32)
    colours = np.ascontiguousarray(frames, frames.dtype.newbyteorder("=")).reshape(*frames.shape[:3], -1)
    cells = len(x) * len(y)
    sums = _cell_sums(colours, first, step, x, y) / (4 * colours.shape[3] * cells)
    black = black_level * np.array([1, x.mean(), y.mean()])
    return (sums - black) / (white_level - black_level)


# Not "nnan" or "ninf": a value that is no number must stay one.
@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def _cell_sums(frames, first, step, x, y):
    """Sums of v, x v and y v over the cells of frames (T, H, W, C), v being the sum of a cell's 2x2 pixels, (T, 3)."""
    out = np.zeros((len(frames), 3))
    for t in range(len(frames)):
        for i in range(len(y)):
            above, below = frames[t, first + i * step], frames[t, first + i * step + 1]
            total, moment = 0.0, 0.0
            for j in range(len(x)):
                left = first + j * step
                value = 0.0
                for c in range(frames.shape[3]):
                    value += above[left, c] + above[left + 1, c] + (below[left, c] + below[left + 1, c])
                total += value
                moment += value * x[j]
            out[t, 0] += total
            out[t, 1] += moment
            out[t, 2] += total * y[i]
    return out


def slot_moments(schedule: LightingSchedule, rig: LightRig, size: int = 64) -> np.ndarray:
    """Mean, x and y moment of a Lambert sphere in every slot, shape (P, 3)."""
    if len(rig) != schedule.n_lights:
        raise CaptureError(
            f"rig '{rig.name}' has {counted(len(rig), 'light')}, schedule '{schedule.name}' has {schedule.n_lights}, "
            "expected "
            "the same number; use the rig and the schedule of one take"
        )
    grid = (np.arange(size) + 0.5) * 2 / size - 1
    x, y = (v.ravel() for v in np.meshgrid(grid, -grid))
    inside = x * x + y * y < 1
    normals = np.stack([x, y, np.sqrt(np.maximum(1 - x * x - y * y, 0))], axis=1)[inside]
    shading = np.maximum(normals @ rig.directions.T, 0)
    moments = np.stack([shading.mean(0), *(normals[:, k] @ shading / len(shading) for k in (0, 1))], axis=1)
    gains = np.asarray(rig.gains).mean(axis=1) * np.asarray(rig.enabled)
    return schedule.drive @ (moments * gains[:, None])


def normalise_moments(moments: np.ndarray, typical: float, drift: str = "") -> np.ndarray:
    """Mean and centroid: moments divided by the mean, so that gains of lights matter less.

    ``drift`` names how the running mean of the centroid over 21 frames is taken off (scipy's boundary mode).
    """
    level = moments[:, :1] + MOMENT_FLOOR * typical
    centroid = moments[:, 1:] / np.where(level == 0, 1, level)  # black frames have no centroid
    if drift:
        centroid = centroid - uniform_filter1d(centroid, 21, axis=0, mode=drift)
    return np.concatenate([moments[:, :1], centroid], axis=1)


def offset_scores(
    features: np.ndarray, ticks: np.ndarray, template: np.ndarray, coded: np.ndarray, mixed: bool
) -> np.ndarray:
    """Mean Pearson correlation of the moments with the template at every offset, shape (P,).

    Frames are first summed by tick modulo the cycle; sums over offsets are then products of (P, P) matrices.
    Under mixes of many lights the centroid moves less by the light than by the head, hence the high-pass.
    """
    cycle = len(template)
    measured = normalise_moments(features, float(np.median(features[:, 0])), "nearest" if mixed else "")
    expected = normalise_moments(template, float(np.median(template[coded, 0])), "wrap" if mixed else "")
    measured = measured - measured.mean(axis=0)
    expected = (expected - expected[coded].mean(axis=0)) * coded[:, None]
    residue = np.asarray(ticks) % cycle
    count = np.bincount(residue, minlength=cycle).astype(float)
    fold, fold2 = (
        np.stack([np.bincount(residue, v, cycle) for v in values.T], axis=1) for values in (measured, measured**2)
    )
    slot = (np.arange(cycle)[None] - np.arange(cycle)[:, None]) % cycle  # (offset, residue)
    weight = coded.astype(float)[slot]
    n = np.maximum(weight @ count, 1)[:, None]
    mean_a, mean_b = weight @ fold / n, np.einsum("ork,r->ok", expected[slot], count) / n
    cov = np.einsum("ork,rk->ok", expected[slot], fold) / n - mean_a * mean_b
    var_a = weight @ fold2 / n - mean_a**2
    var_b = np.einsum("ork,r->ok", expected[slot] ** 2, count) / n - mean_b**2
    useful = expected.std(axis=0) > 1e-9 * np.abs(template).max()  # lights on one line: the other moment says nothing
    correlation = cov / np.sqrt(np.maximum(var_a * var_b, 1e-30))
    return correlation[:, useful].mean(axis=1) if useful.any() else np.zeros(cycle)
