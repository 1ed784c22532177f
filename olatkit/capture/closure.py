"""Closure: the single-light images must add up to the tracking frame; if not, ambient light or a drive is wrong."""

import numpy as np

from olatkit.errors import CaptureError


def closure_error(olat_sum: np.ndarray, full: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Relative excess of the sum of all lights over the fully lit image, over the subject.

    Parameters
    ----------
    olat_sum, full : ndarray, shape (H, W) or (H, W, 3)
        Sum of the single-light images; tracking frame divided by its drive. Linear.
    mask : ndarray of bool, shape (H, W), optional
        The subject.

    Returns
    -------
    float
        0.01 = the sum is 1 % too bright.

    Raises
    ------
    CaptureError
        If the fully lit image is not brighter than black.
    """
    total, reference = (np.sum(image if mask is None else image[mask], dtype=float) for image in (olat_sum, full))
    if not reference > 0:
        raise CaptureError(f"the tracking frame sums to {reference:.4g} over the subject, expected light; wrong black?")
    return float(total / reference - 1)


def ambient_from_closure(olat_sum: np.ndarray, full: np.ndarray, n_lights: int, tracking_gain: float) -> np.ndarray:
    """Constant light A of every frame, from A = (Σ_l O_l - T/g) / (L - 1/g).

    Parameters
    ----------
    olat_sum, full : ndarray, shape (...)
        Sum of the recorded single-light images; recorded tracking frame T divided by its drive g.
    n_lights : int
        Number of lights L that were summed.
    tracking_gain : float
        Drive g, known to about 1 %.

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    CaptureError
        If 1/g is within 20 % of L: then ambient light adds to both sides alike and cannot be told.
    """
    excess = n_lights - 1 / tracking_gain
    if abs(excess) < 0.2 * n_lights:
        raise CaptureError(
            f"ambient light cannot be found from closure: tracking drive {tracking_gain:g} means 1/drive "
            f"{1 / tracking_gain:.4g}, expected more than 20 % away from {n_lights} lights; record dark frames instead"
        )
    return (olat_sum - full) / excess
