"""What lies between the scene and a linear number: lens shading and the sensor's response curve."""

import numpy as np

from olatkit.errors import CaptureError
from olatkit.wording import counted

MAX_DEGREE = 6


def fit_flat_field(flat_rgb: np.ndarray, degree: int = 4) -> np.ndarray:
    """Smooth lens shading of an evenly lit frame, to divide by.

    Parameters
    ----------
    flat_rgb : ndarray, shape (H, W, C)
        Linear frame above black of an integrating sphere or an evenly lit wall.
    degree : int
        Degree of the polynomial in x and y, 0 to 6.

    Returns
    -------
    ndarray, shape (H, W, C), float32
        Mean 1 in each channel; dust and noise are not followed.

    Raises
    ------
    ValueError
        A degree out of range.
    CaptureError
        A fit that is not positive everywhere.
    """
    if not 0 <= degree <= MAX_DEGREE:
        raise ValueError(f"degree is {degree}, expected 0 to {MAX_DEGREE}")
    height, width = flat_rgb.shape[:2]
    # Chebyshev terms keep the normal equations well conditioned at degree 6.
    row = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, height), degree)
    column = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, width), degree)
    terms = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    right = np.stack([np.einsum("hwc,h,w->c", flat_rgb, row[:, i], column[:, j], optimize=True) for i, j in terms])
    rows, columns = row.T @ row, column.T @ column
    gram = np.array([[rows[i, k] * columns[j, l] for k, l in terms] for i, j in terms])
    weights = np.linalg.solve(gram, right)
    grid = np.zeros((degree + 1, degree + 1, flat_rgb.shape[2]))
    for (i, j), weight in zip(terms, weights, strict=True):
        grid[i, j] = weight
    shading = np.einsum("hi,ijc,wj->hwc", row, grid, column, optimize=True)
    if not shading.min() > 0:
        y, x = np.unravel_index(int(shading.min(axis=2).argmin()), (height, width))
        raise CaptureError(
            f"lens shading at row {y}, column {x} is {shading.min():.3g}, expected above 0; is the flat-field frame "
            "evenly lit and its black level subtracted?"
        )
    return (shading / shading.mean(axis=(0, 1))).astype(np.float32)


def fit_linearisation(levels: np.ndarray, exposures: np.ndarray, *, size: int) -> np.ndarray:
    """Table that makes recorded values proportional to light, from one patch at several exposures.

    Parameters
    ----------
    levels : ndarray, shape (N,)
        Recorded values of the patch above black, 0 < level < size; leave saturated ones out.
    exposures : ndarray, shape (N,)
        Relative exposures, such as exposure times.
    size : int
        Number of codes, 4096 for 12 bits.

    Returns
    -------
    ndarray, shape (size,), float32
        Linear value of each code: 0 at 0, unchanged at the highest level measured, never falling (monotone cubic
        between the measured levels after isotonic regression, straight beyond them).

    Raises
    ------
    CaptureError
        Fewer than 3 different levels, values out of range, or levels that fall as exposure rises.
    """
    from scipy.interpolate import PchipInterpolator
    from scipy.optimize import isotonic_regression

    levels, exposures = np.asarray(levels, float), np.asarray(exposures, float)
    if not (np.isfinite(levels).all() and np.isfinite(exposures).all() and levels.min() > 0 and exposures.min() > 0):
        raise CaptureError("the exposure ramp has values that are not positive numbers; leave dark and broken ones out")
    if levels.max() >= size:
        raise CaptureError(f"the exposure ramp has level {levels.max():g}, expected below {size}")
    order = np.argsort(exposures, kind="stable")
    code, light = isotonic_regression(levels[order]).x, exposures[order]
    code, group = np.unique(code, return_inverse=True)
    light = np.bincount(group, light) / np.bincount(group)
    if len(code) < 3 or np.corrcoef(levels, exposures)[0, 1] <= 0:
        raise CaptureError(f"the exposure ramp has {counted(len(code), 'rising level')}, expected at least 3; add exposures")
    code, light = np.concatenate([[0], code]), np.concatenate([[0], light])
    table = PchipInterpolator(code, light)(np.minimum(np.arange(size), code[-1]))
    slope = (light[-1] - light[-2]) / (code[-1] - code[-2])
    table += slope * np.maximum(np.arange(size) - code[-1], 0)
    return (table * code[-1] / light[-1]).astype(np.float32)


def linearise(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Light of recorded values above black, straight between and beyond the entries of a table.

    Parameters
    ----------
    values : ndarray, any shape, float32
        Recorded values above black; negative ones follow the table's first step.
    table : ndarray, shape (K,), float32
        Light at 0, 1 ... K - 1.

    Returns
    -------
    ndarray, shape of ``values``, float32
    """
    below = np.clip(np.floor(values), 0, len(table) - 2).astype(np.intp)
    base = table[below]
    return base + (values - below.astype(np.float32)) * (table[below + 1] - base)
