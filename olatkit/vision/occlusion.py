"""Which points of a picture are hidden in another one, from the two flows between them."""

import numpy as np

from olatkit.vision.warp import pixel_grid, warp


def hidden_points(forward: np.ndarray, backward: np.ndarray, *, relative: float = 0.01, slack: float = 0.5) -> np.ndarray:
    """Pixels whose way there and back does not return, or that leave the picture.

    Parameters
    ----------
    forward : ndarray, shape (H, W, 2), float32
        Flow [px] from this picture to the other.
    backward : ndarray, shape (H, W, 2), float32
        Flow from the other picture to this one.
    relative : float
        Share of the squared lengths that the error may have.
    slack : float
        Squared error [px²] that is always allowed.

    Returns
    -------
    ndarray of bool, shape (H, W)
        On the grid of ``forward``.

    Notes
    -----
    Hidden where ``|f(x) + b(x + f(x))|² >= relative (|f|² + |b|²) + slack``.

    References
    ----------
    Sundaram, Brox and Keutzer, "Dense point trajectories by GPU-accelerated large displacement optical flow",
    ECCV 2010, doi:10.1007/978-3-642-15549-9_32.
    """
    height, width = forward.shape[:2]
    back = warp(backward, forward, linear=True)
    error = np.square(forward + back).sum(axis=-1)
    allowed = relative * (np.square(forward).sum(axis=-1) + np.square(back).sum(axis=-1)) + slack
    landing = pixel_grid(height, width) + forward
    inside = (landing >= -0.5).all(axis=-1) & (landing[..., 0] < width - 0.5) & (landing[..., 1] < height - 0.5)
    return (error >= allowed) | ~inside
