"""Light weights: the integral of an environment map over the cell of each light."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import latlong_directions, row_solid_angles
from olatkit.rig import LightRig


def light_weights(
    environment: EnvironmentMap, rig: LightRig, *, method: str = "voronoi", max_angle_deg: float | None = None,
    subject_m: Sequence[float] | None = None,
) -> np.ndarray:
    """Integrate an environment map over the cell of each light.

    Parameters
    ----------
    environment : EnvironmentMap
        Linear radiance (H, W, 3), lat-long.
    rig : LightRig
        L lights; the gains play no part here, they were divided out of the images.
    method : {"voronoi", "nearest", "barycentric", "lobe"}
        ``voronoi`` splits every pixel exactly among the cells that it touches; ``nearest`` gives each pixel whole to
        the light nearest to its centre; ``barycentric`` shares it among the three lights around it; ``lobe`` among
        all lights near it, by the 30th power of the cosine.
    max_angle_deg : float, optional
        Cells end at this angle from their light, for a partial dome whose lowest lights should not swallow the
        hole. The weights then hold the light of the covered part only: see :func:`lost_power`. By default the
        cells cover the whole sphere.
    subject_m : sequence of 3 floats, optional
        Where the subject is, in metres from the centre of the stage. The cells are then those of the lights as seen
        from there, and each weight makes up for the light's distance, so that the place is lit as the map says.
        By default lights are distant, or the subject is in the centre.

    Returns
    -------
    ndarray, shape (L, 3), float64
        Radiance times solid angle [sr], linear in the map, not negative. The sum over lights is the map's power
        (without ``subject_m``, whose weights make up for distances). A dead light has weight 0 and its cell goes to
        its neighbours.

    Raises
    ------
    ValueError
        No light is enabled, the method is unknown or does not suit the rig, the angle is not in (0, 180], or
        ``subject_m`` is given for a rig without positions or lies outside it.
    """
    flat = environment.radiance.reshape(-1, 3).astype(np.float64)
    if subject_m is None:
        return cell_matrix(rig, *environment.shape, method=method, max_angle_deg=max_angle_deg) @ flat
    from olatkit.render.near_field import near_field_directions, near_field_gains

    directions = near_field_directions(rig, np.asarray(subject_m))
    weights = _matrix(rig, directions, *environment.shape, method, max_angle_deg) @ flat
    return weights * near_field_gains(rig, np.asarray(subject_m))[:, None]


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
        the cells. Matrices used last stay in memory, up to ``CACHE_BYTES``: do not write to them.
    """
    return _matrix(rig, rig.directions, height, width, method, max_angle_deg)


def _matrix(
    rig: LightRig, directions: np.ndarray, height: int, width: int, method: str, max_angle_deg: float | None
) -> Any:
    """The matrix of :func:`cell_matrix` for lights of a rig that are seen in given directions."""
    if method not in METHODS:
        raise ValueError(f"unknown method '{method}', expected one of {', '.join(METHODS)}")
    if max_angle_deg is not None and not 0 < max_angle_deg <= 180:
        raise ValueError(f"max_angle_deg is {max_angle_deg:g}, expected more than 0 and at most 180")
    if not np.any(rig.enabled):
        raise ValueError(f"rig '{rig.name}' has no enabled light")
    lights = np.flatnonzero(np.asarray(rig.enabled))
    directions = directions[lights]
    limit_deg = 180.0 if max_angle_deg is None else float(max_angle_deg)
    # What decides the cells, and nothing else: rigs that differ in name or gains share a matrix.
    key = (len(rig), lights.tobytes(), directions.tobytes(), height, width, method, limit_deg)
    found = _CACHE.get(key)
    if found is None:
        from scipy.sparse import coo_array

        values, owners, pixels = METHODS[method](directions, height, width, np.radians(limit_deg))
        found = coo_array((values, (lights[owners], pixels)), shape=(len(rig), height * width)).tocsr()
        _CACHE.put(key, found)
    return found


# Enough for some hundred 16x16 matrices or a few of full maps; building one anew takes 20 ms to some seconds.
CACHE_BYTES = 512 << 20


class _MatrixCache:
    """The matrices used last, as many as fit; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._matrices: OrderedDict[tuple, Any] = OrderedDict()

    def get(self, key: tuple) -> Any:
        with self._lock:
            if key in self._matrices:
                self._matrices.move_to_end(key)
            return self._matrices.get(key)

    def put(self, key: tuple, matrix: Any) -> None:
        with self._lock:
            self._matrices[key] = matrix
            while len(self._matrices) > 1 and sum(map(_size, self._matrices.values())) > CACHE_BYTES:
                self._matrices.popitem(last=False)


def _size(matrix: Any) -> int:
    """Bytes of a sparse matrix."""
    return matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes


_CACHE = _MatrixCache()


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


def _barycentric(directions: np.ndarray, height: int, width: int, max_angle_rad: float) -> tuple[np.ndarray, ...]:
    """Pixels shared by the corners of a triangle of lights."""
    from olatkit.render.smooth_cells import barycentric_overlaps

    return barycentric_overlaps(directions, height, width, max_angle_rad=max_angle_rad)


def _lobe(directions: np.ndarray, height: int, width: int, max_angle_rad: float) -> tuple[np.ndarray, ...]:
    """Pixels shared by all lights near them."""
    from olatkit.render.smooth_cells import lobe_overlaps

    return lobe_overlaps(directions, height, width, max_angle_rad=max_angle_rad)


# (directions, height, width, max_angle_rad) -> overlaps [sr], lights, pixels.
METHODS = {"voronoi": _voronoi, "nearest": _nearest, "barycentric": _barycentric, "lobe": _lobe}
