"""Closure: the single-light images must add up to the tracking frame; what is too much is ambient light."""

import numpy as np

from olatkit.errors import CaptureError
from olatkit.wording import counted


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
            f"{1 / tracking_gain:.4g}, expected more than 20 % away from {counted(n_lights, 'light')}; record dark "
            "frames instead"
        )
    return (olat_sum - full) / excess
