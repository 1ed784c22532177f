"""The brightness moments of frames, and what they should be under each slot of a schedule.

A frame is reduced to three numbers, its mean and its mean x and y moment. A convex subject lit from one side is
bright on that side, so these follow the light's direction closely enough that the order of the lights, known from
the schedule, can be found in the stream by correlation with a Lambert sphere.
"""

import numpy as np
from scipy.ndimage import uniform_filter1d

from olatkit.errors import CaptureError
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule

MOMENT_FLOOR = 0.1  # of the median frame mean: keeps moments of nearly black frames from being noise over noise
_GRID = 128  # cells along the longer side: 65,000 pixels give a 4K frame's moments to about a percent


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
    corners = [(first, first), (first, first + 1), (first + 1, first), (first + 1, first + 1)]
    total = np.add.reduce([frames[:, dy:height:step, dx:width:step].astype(np.float32) for dy, dx in corners])
    total = total.mean(axis=3) if total.ndim == 4 else total
    cells = (total / 4 - np.float32(black_level)) / np.float32(white_level - black_level)
    half = max(height, width) / 2
    x = (np.arange(first, width, step) + 1 - width / 2) / half
    y = (height / 2 - np.arange(first, height, step) - 1) / half
    columns, rows = cells.mean(axis=1, dtype=float), cells.mean(axis=2, dtype=float)
    return np.stack([columns.mean(axis=1), columns @ x / len(x), rows @ y / len(y)], axis=1)


def slot_moments(schedule: LightingSchedule, rig: LightRig, size: int = 64) -> np.ndarray:
    """Mean, x and y moment of a Lambert sphere in every slot, shape (P, 3)."""
    if len(rig) != schedule.n_lights:
        raise CaptureError(
            f"rig '{rig.name}' has {len(rig)} lights, schedule '{schedule.name}' has {schedule.n_lights}, expected "
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
