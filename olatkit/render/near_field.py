"""Lights at a finite distance: seen from off the centre of the stage they stand elsewhere and are brighter or dimmer."""

import numpy as np

from olatkit.rig import LightRig


def near_field_gains(rig: LightRig, points_m: np.ndarray) -> np.ndarray:
    """Factor that makes a light as bright at some points as it is at the centre of the stage.

    Parameters
    ----------
    rig : LightRig
        With positions [m].
    points_m : ndarray, shape (..., 3)
        Where the subject's surface lies, in metres from the centre.

    Returns
    -------
    ndarray, shape (..., L)
        |p_l - P|² / |p_l|², the inverse of the fall-off; 1 at the centre. Times an OLAT image, it gives what a light
        without fall-off had shown.

    Raises
    ------
    ValueError
        The rig has no positions, or a point lies on a light or beyond it.
    """
    return (_gaps(rig, points_m) ** 2).sum(axis=-1) / (_positions(rig) ** 2).sum(axis=-1)


def near_field_directions(rig: LightRig, points_m: np.ndarray) -> np.ndarray:
    """Unit directions from points (..., 3) [m] to every light, shape (..., L, 3); raises as :func:`near_field_gains`."""
    gaps = _gaps(rig, points_m)
    return gaps / np.linalg.norm(gaps, axis=-1, keepdims=True)


def _gaps(rig: LightRig, points_m: np.ndarray) -> np.ndarray:
    points = np.asarray(points_m, float)
    if points.shape[-1:] != (3,) or not np.isfinite(points).all():
        raise ValueError(f"points have shape {points.shape}, expected finite (..., 3) in metres")
    reach, nearest = float(np.linalg.norm(points, axis=-1).max()), float(np.linalg.norm(_positions(rig), axis=-1).min())
    if reach >= nearest:
        raise ValueError(f"a point {reach:.3g} m from the centre is not inside rig '{rig.name}', whose nearest light "
                         f"stands at {nearest:.3g} m; points are in metres")
    return _positions(rig) - points[..., None, :]


def _positions(rig: LightRig) -> np.ndarray:
    if rig.positions is None:
        raise ValueError(f"rig '{rig.name}' has directions only; near-field weights need positions in metres")
    return rig.positions
