"""Colour matrix from a ColorChecker Classic.

Patches are numbered row by row from dark skin to black, as on the card.
"""

import numpy as np

from olatkit.color import decode_srgb
from olatkit.errors import CaptureError

COLUMNS, ROWS = 6, 4
VISIBLE = 0.25  # of what is averaged of a patch: that much must lie in the picture
# sRGB (D65) of the ColorChecker Classic, edition of 2005, rounded to 8 bits by its maker; cyan is clipped in red.
_REFERENCE_SRGB8 = (
    (115, 82, 68), (194, 150, 130), (98, 122, 157), (87, 108, 67), (133, 128, 177), (103, 189, 170),
    (214, 126, 44), (80, 91, 166), (193, 90, 99), (94, 60, 108), (157, 188, 64), (224, 163, 46),
    (56, 61, 150), (70, 148, 73), (175, 54, 60), (231, 199, 31), (187, 86, 149), (8, 133, 161),
    (243, 243, 242), (200, 200, 200), (160, 160, 160), (122, 122, 121), (85, 85, 85), (52, 52, 52),
)
_XYZ_FROM_REC709 = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_GREYS = range(18, 24)  # white to black


def chart_reference() -> np.ndarray:
    """Linear Rec.709 values of the 24 patches under D65, shape (24, 3), 1 = perfect white."""
    return decode_srgb(np.array(_REFERENCE_SRGB8) / 255)


def chart_patches(image: np.ndarray, corners: np.ndarray, *, fraction: float = 0.5) -> np.ndarray:
    """Mean colour of the 24 patches.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3)
        Linear picture.
    corners : ndarray, shape (4, 2)
        Pixel coordinates (x, y) of the outer corners of patches 1, 6, 24 and 19: clockwise from dark skin. They may
        lie outside the picture: of a patch that is cut by its edge, what is visible is averaged.
    fraction : float
        Share of the distance between patches that is averaged, around each centre.

    Returns
    -------
    ndarray, shape (24, 3), float64

    Raises
    ------
    CaptureError
        Corners of no convex quadrilateral, or patches of which less than :data:`VISIBLE` is in the picture.
    """
    import cv2

    corners = np.asarray(corners, np.float32)
    if corners.shape != (4, 2) or not np.isfinite(corners).all() or not cv2.isContourConvex(corners):
        raise CaptureError(f"chart corners are {corners.tolist()}, expected 4 points around the patches")
    unit = np.array([(0, 0), (COLUMNS, 0), (COLUMNS, ROWS), (0, ROWS)], np.float32)
    to_image = cv2.getPerspectiveTransform(unit, corners)
    inner = 0.5 + fraction * ((np.arange(15) + 0.5) / 15 - 0.5)
    x, y = ((np.arange(n)[:, None] + inner).ravel() for n in (COLUMNS, ROWS))
    points = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)
    where = cv2.perspectiveTransform(points, to_image)
    last = np.array(image.shape[1::-1]) - 1
    visible = ((where >= 0) & (where <= last)).all(axis=2).reshape(ROWS, 15, COLUMNS, 15)
    share = visible.mean(axis=(1, 3)).ravel()
    if share.min() < VISIBLE:
        patches = ", ".join(str(n + 1) for n in np.flatnonzero(share < VISIBLE))
        raise CaptureError(
            f"chart patches {patches} reach out of the picture of {last[0] + 1}x{last[1] + 1} pixels; correct the "
            f"corners {[[round(float(v), 1) for v in corner] for corner in corners]}"
        )
    samples = cv2.remap(np.ascontiguousarray(image, np.float32), where[..., 0], where[..., 1], cv2.INTER_LINEAR)
    samples = samples.reshape(ROWS, 15, COLUMNS, 15, 3)
    return samples.mean(axis=(1, 3), dtype=float, where=visible[..., None]).reshape(24, 3)


def fit_color_matrix(
    measured: np.ndarray, reference: np.ndarray, *, preserve_white: bool = True, saturation: float = 0.95
) -> np.ndarray:
    """Matrix from camera RGB to linear Rec.709, least squares in linear light.

    Parameters
    ----------
    measured : ndarray, shape (24, 3)
        From :func:`chart_patches`, linear camera RGB, 1 = full scale.
    reference : ndarray, shape (24, 3)
        From :func:`chart_reference`.
    preserve_white : bool
        Map the brightest usable grey patch exactly to neutral at the level of its green value, so that the matrix
        neither changes the exposure nor tints white. Otherwise only the exposure is kept.
    saturation : float
        Patches that reach it in any channel are left out.

    Returns
    -------
    ndarray, shape (3, 3)
        For ``image @ matrix.T``.

    Raises
    ------
    CaptureError
        Values that are not finite, fewer than 12 usable patches or no usable grey, or patches that differ in less
        than three colours.
    """
    measured, reference = np.asarray(measured, float), np.asarray(reference, float)
    usable, grey = _usable(measured, saturation)
    if np.linalg.matrix_rank(measured[usable], tol=1e-3 * np.abs(measured[usable]).max()) < 3:
        raise CaptureError("the chart's patches differ in less than three colours; is it the right picture and region?")
    white, colors = measured[grey], measured[usable]
    target = reference[usable] / reference[grey].mean() * white[1]
    if not preserve_white:
        return np.linalg.lstsq(colors, target, rcond=None)[0].T
    # Least squares under M w = g (1, 1, 1), by Lagrange multipliers; the same system serves the three rows.
    system = np.zeros((4, 4))
    system[:3, :3] = colors.T @ colors
    system[:3, 3] = system[3, :3] = white
    right = np.concatenate([colors.T @ target, np.full((1, 3), white[1])])
    return np.linalg.solve(system, right)[:3].T


def chart_error(
    measured: np.ndarray, reference: np.ndarray, matrix: np.ndarray, *, saturation: float = 0.95
) -> np.ndarray:
    """Residual ΔE*ab (CIE 1976, D65) of each patch after the matrix, shape (24,).

    The exposure is matched at the grey patch of :func:`fit_color_matrix`; saturated patches are NaN.
    """
    usable, grey = _usable(measured, saturation)
    corrected = measured @ matrix.T
    level = reference[grey].mean() / corrected[grey].mean()
    error = np.linalg.norm(_lab(corrected * level) - _lab(reference), axis=1)
    return np.where(usable, error, np.nan)


def _usable(measured: np.ndarray, saturation: float) -> tuple[np.ndarray, int]:
    """Patches below saturation, and the brightest grey one among them."""
    usable = np.isfinite(measured).all(axis=1) & (measured < saturation).all(axis=1)
    greys = [n for n in _GREYS if usable[n] and (measured[n] > 0).all()]
    if usable.sum() < 12 or not greys:
        raise CaptureError(
            f"{int(usable.sum())} of 24 chart patches are below {saturation:g} of full scale, expected 12 or more and "
            "a grey one; expose the chart less, and check its corners"
        )
    return usable, greys[0]


def _lab(linear: np.ndarray) -> np.ndarray:
    """CIE L*a*b* under D65 of linear Rec.709."""
    white = _XYZ_FROM_REC709.sum(axis=1)
    t = linear @ _XYZ_FROM_REC709.T / white
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
