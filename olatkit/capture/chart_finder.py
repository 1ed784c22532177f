"""Find a ColorChecker Classic in a picture: even patches, the grid they form, the colours that tell its way up."""

from collections.abc import Iterator

import numpy as np

from olatkit.capture.chart import COLUMNS, ROWS, chart_patches, chart_reference
from olatkit.color import decode_srgb
from olatkit.errors import CaptureError

MIN_PATCHES = 14  # of 24: the rest may be covered, clipped or too dark to stand out from the card
MAX_MISMATCH = 0.1  # of the variance of the reference colours; a misplaced grid has 0.3 and more
_WORKING_WIDTH = 1000
_EDGES = (6, 10, 16, 25)  # smallest step between a patch and the card, 8-bit sRGB


def find_color_checker(image_srgb: np.ndarray) -> np.ndarray:
    """Find a ColorChecker Classic in a picture.

    Parameters
    ----------
    image_srgb : ndarray of uint8, shape (H, W, 3)
        RGB picture with about the contrast of a print; the white balance may be off. The whole card must be in view,
        turned and tilted as it may be.

    Returns
    -------
    ndarray, shape (4, 2)
        Corners (x, y) of the grid of 24 patches in pixels, as for :func:`olatkit.capture.chart.chart_patches`.

    Raises
    ------
    CaptureError
        No chart found.
    """
    import cv2

    scale = min(1.0, _WORKING_WIDTH / max(image_srgb.shape[:2]))
    small = cv2.resize(np.ascontiguousarray(image_srgb), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    linear = decode_srgb(small / 255.0).astype(np.float32)
    best, best_mismatch = None, MAX_MISMATCH
    for edge in _EDGES:
        grid = _largest_grid(*_even_regions(small, edge))
        for corners in _placements(grid):
            mismatch = _mismatch(linear, corners)
            if mismatch < best_mismatch:
                best, best_mismatch = corners, mismatch
    if best is None:
        raise CaptureError(
            f"no ColorChecker found in a picture of {image_srgb.shape[1]}x{image_srgb.shape[0]} pixels, expected all "
            "of its 24 patches in view; give the four corners of its patches instead"
        )
    return (best + 0.5) / scale - 0.5


def _even_regions(image: np.ndarray, edge: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, 2) and side lengths (n,) of compact regions without a step of ``edge`` inside."""
    import cv2

    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    step = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(axis=2)
    contours, _ = cv2.findContours((step < edge).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    centres, sides = [], []
    for contour in contours:
        area = cv2.contourArea(contour)
        (x, y), (width, height), _ = cv2.minAreaRect(contour)
        if area < 60 or area > 0.05 * step.size or area < 0.75 * width * height:
            continue
        if max(width, height) < 1.8 * min(width, height):
            centres.append((x, y))
            sides.append(np.sqrt(area))
    return np.array(centres).reshape(-1, 2), np.array(sides)


def _largest_grid(centres: np.ndarray, sides: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """The most regions that continue each other in two directions at right angles, as (column, row) -> centre."""
    best: dict[tuple[int, int], np.ndarray] = {}
    for seed in range(len(centres)):
        if any(np.array_equal(centre, centres[seed]) for centre in best.values()):
            continue
        alike = np.abs(np.log(sides / sides[seed])) < np.log(1.6)
        grid = _grow_grid(centres[alike], centres[seed], 2.5 * sides[seed])
        best = max(best, grid, key=len)
    return best


def _grow_grid(centres: np.ndarray, seed: np.ndarray, reach: float) -> dict[tuple[int, int], np.ndarray]:
    """Walk from one centre to its neighbours; each step is predicted by the step that led there."""
    gaps = np.linalg.norm(centres - seed, axis=1)
    gaps[gaps < 1] = np.inf
    if len(centres) < 2 or gaps.min() > reach:
        return {}
    along = centres[gaps.argmin()] - seed
    grid = {(0, 0): seed}
    steps = {(0, 0): (along, np.array([-along[1], along[0]]))}
    queue = [(0, 0)]
    while queue:
        cell = queue.pop(0)
        for axis, sign in ((0, 1), (0, -1), (1, 1), (1, -1)):
            target = (cell[0] + sign * (axis == 0), cell[1] + sign * (axis == 1))
            step = steps[cell][axis]
            off = np.linalg.norm(centres - (grid[cell] + sign * step), axis=1)
            if target in grid or off.min() > 0.3 * np.linalg.norm(step):
                continue
            grid[target] = centres[off.argmin()]
            found = sign * (grid[target] - grid[cell])
            steps[target] = (found, steps[cell][1]) if axis == 0 else (steps[cell][0], found)
            queue.append(target)
    return grid


def _placements(grid: dict[tuple[int, int], np.ndarray]) -> Iterator[np.ndarray]:
    """Corners of the chart for every way its 6x4 patches can lie on the grid."""
    import cv2

    if len(grid) < MIN_PATCHES:
        return
    cells, centres = np.array(list(grid)), np.array(list(grid.values()), np.float32)
    outline = np.array([[(0, 0), (COLUMNS, 0), (COLUMNS, ROWS), (0, ROWS)]], np.float32)
    for _ in range(4):
        cells = np.stack([-cells[:, 1], cells[:, 0]], axis=1)
        low, high = cells.min(axis=0), cells.max(axis=0)
        for column in range(min(low[0], high[0] + 1 - COLUMNS), max(low[0], high[0] + 1 - COLUMNS) + 1):
            for row in range(min(low[1], high[1] + 1 - ROWS), max(low[1], high[1] + 1 - ROWS) + 1):
                place = cells - (column, row)
                inside = ((place >= 0) & (place < (COLUMNS, ROWS))).all(axis=1)
                if inside.sum() < MIN_PATCHES:
                    continue
                to_image, _ = cv2.findHomography((place[inside] + 0.5).astype(np.float32), centres[inside])
                if to_image is not None:
                    yield cv2.perspectiveTransform(outline, to_image)[0]


def _mismatch(linear: np.ndarray, corners: np.ndarray) -> float:
    """Share of the reference colours' variance that no matrix from the patches explains; infinite outside."""
    try:
        measured = chart_patches(linear, corners)
    except CaptureError:
        return float("inf")
    reference = chart_reference()
    fit = np.linalg.lstsq(measured, reference, rcond=None)[0]
    return float(np.square(measured @ fit - reference).sum() / np.square(reference - reference.mean(axis=0)).sum())
