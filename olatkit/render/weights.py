"""Light weights: the integral of an environment map over the cell of each light."""

import functools
import logging
from typing import Any

import numpy as np

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import latlong_directions, row_solid_angles
from olatkit.rig import LightRig

log = logging.getLogger(__name__)


def light_weights(
    environment: EnvironmentMap, rig: LightRig, *, method: str = "voronoi", max_angle_deg: float | None = None
) -> np.ndarray:
    """Integrate an environment map over the cell of each light.

    Parameters
    ----------
    environment : EnvironmentMap
        Linear radiance (H, W, 3), lat-long.
    rig : LightRig
        L lights; the gains play no part here, they were divided out of the images.
    method : {"voronoi", "nearest"}
        ``voronoi`` splits every pixel exactly among the cells that it touches; ``nearest`` gives each pixel whole to
        the light nearest to its centre.
    max_angle_deg : float, optional
        Cells end at this angle from their light, for a partial dome whose lowest lights should not swallow the
        hole. The weights then hold the light of the covered part only: see :func:`lost_power`. By default the
        cells cover the whole sphere.

    Returns
    -------
    ndarray, shape (L, 3), float64
        Radiance times solid angle [sr], linear in the map, not negative. The sum over lights is the map's power.
        A dead light has weight 0 and its cell goes to its neighbours.

    Raises
    ------
    ValueError
        No light is enabled, the method is unknown, or the angle is not in (0, 180].
    """
    matrix = cell_matrix(rig, *environment.shape, method=method, max_angle_deg=max_angle_deg)
    return matrix @ environment.radiance.reshape(-1, 3).astype(np.float64)


def lost_power(environment: EnvironmentMap, weights: np.ndarray) -> np.ndarray:
    """Share of the map's power that no cell covers, shape (3,), 0 ... 1 per channel; 0 without a limiting angle."""
    power = environment.power
    return np.where(power > 0, 1 - np.asarray(weights).sum(axis=0) / np.where(power > 0, power, 1), 0).clip(0, 1)


def cell_areas(rig: LightRig, *, max_angle_deg: float | None = None) -> np.ndarray:
    """Solid angle [sr] of each light's cell, shape (L,): the weights under a uniform white sky of radiance 1."""
    return np.asarray(cell_matrix(rig, 16, 16, max_angle_deg=max_angle_deg).sum(axis=1)).ravel()


def cell_matrix(
    rig: LightRig, height: int, width: int, *, method: str = "voronoi", max_angle_deg: float | None = None
) -> Any:
    """Solid angle of every lat-long pixel inside every light's cell.

    Parameters
    ----------
    rig : LightRig
        L lights.
    height, width : int
        Pixels of the map.
    method, max_angle_deg
        As in :func:`light_weights`.

    Returns
    -------
    scipy.sparse.csr_array, shape (L, height * width), float64
        Overlaps [sr]; pixels in row-major order, every column sums to the pixel's solid angle unless an angle limits
        the cells. Kept in memory for the rigs and sizes used last: do not write to it.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method '{method}', expected one of {', '.join(METHODS)}")
    if max_angle_deg is not None and not 0 < max_angle_deg <= 180:
        raise ValueError(f"max_angle_deg is {max_angle_deg:g}, expected more than 0 and at most 180")
    if not np.any(rig.enabled):
        raise ValueError(f"rig '{rig.name}' has no enabled light")
    return _cached_matrix(_CacheKey(rig), height, width, method, 180.0 if max_angle_deg is None else max_angle_deg)


class _CacheKey:
    """A rig that compares by what decides its cells, so that equal rigs share a matrix."""

    def __init__(self, rig: LightRig) -> None:
        self.lights = np.flatnonzero(np.asarray(rig.enabled))
        self.directions = rig.directions[self.lights]
        self.count = len(rig)
        self.digest = (self.count, self.lights.tobytes(), self.directions.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _CacheKey) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@functools.lru_cache(maxsize=8)
def _cached_matrix(key: _CacheKey, height: int, width: int, method: str, max_angle_deg: float) -> Any:
    from scipy.sparse import coo_array

    values, lights, pixels = METHODS[method](key.directions, height, width, np.radians(max_angle_deg))
    shape = (key.count, height * width)
    return coo_array((values, (key.lights[lights], pixels)), shape=shape).tocsr()


def _voronoi(directions: np.ndarray, height: int, width: int, max_angle_rad: float) -> tuple[np.ndarray, ...]:
    """Pixels split among cells."""
    from olatkit.render.cells import voronoi_overlaps

    return voronoi_overlaps(directions, height, width, max_angle_rad=max_angle_rad)


def _nearest(directions: np.ndarray, height: int, width: int, max_angle_rad: float) -> tuple[np.ndarray, ...]:
    """Pixels whole to the light nearest to their centre."""
    from scipy.spatial import cKDTree

    centres = latlong_directions(height, width).reshape(-1, 3)
    chord, lights = cKDTree(directions).query(centres)
    covered = chord <= 2 * np.sin(max_angle_rad / 2)
    solid_angles = np.repeat(row_solid_angles(height, width), width)
    return solid_angles[covered], lights[covered], np.flatnonzero(covered)


# (directions, height, width, max_angle_rad) -> overlaps [sr], lights, pixels.
METHODS = {"voronoi": _voronoi, "nearest": _nearest}
