"""Backward warping by displacement fields: ``out(x) = image(x + displacement(x))``, pixel centres at integers."""

import numpy as np


def warp(image: np.ndarray, displacement: np.ndarray, *, linear: bool = False) -> np.ndarray:
    """Sample an image at displaced positions.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, C)
        Linear values; C at most 4.
    displacement : ndarray, shape (H, W, 2), float32
        (dx, dy) in pixels: where each pixel of the result is found in ``image``.
    linear : bool
        Bilinear instead of bicubic interpolation. Bilinear cannot overshoot but blurs.

    Returns
    -------
    ndarray
        Same shape as ``image``, float32; positions outside repeat the border.
    """
    import cv2

    kind = cv2.INTER_LINEAR if linear else cv2.INTER_CUBIC
    source = image if image.dtype == np.float32 else image.astype(np.float32)
    where = displacement + pixel_grid(*displacement.shape[:2])
    return cv2.remap(source, where, None, kind, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]


def pixel_grid(height: int, width: int) -> np.ndarray:
    """Pixel positions (x, y) of every pixel, shape (H, W, 2), float32, read-only and kept for the last sizes."""
    grid = _GRIDS.get((height, width))
    if grid is None:
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        grid = np.stack([x, y], axis=-1)
        grid.setflags(write=False)
        if len(_GRIDS) > 8:
            _GRIDS.clear()
        _GRIDS[height, width] = grid
    return grid


_GRIDS: dict[tuple[int, int], np.ndarray] = {}
