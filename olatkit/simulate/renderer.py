"""Trace and light one view of a model on the CPU; :mod:`olatkit.simulate.renderer_torch` does the same in torch."""

from dataclasses import dataclass

import numpy as np

from olatkit.simulate import raster
from olatkit.simulate.model import Model

# Shadow maps cover this sphere: middle and radius [m].
_SHADOW_MIDDLE = np.array([0.0, -0.055, -0.02])
_SHADOW_RADIUS = 0.235


@dataclass(frozen=True, eq=False)
class View:
    """The subject at one instant as seen by the camera on one sample grid.

    Attributes
    ----------
    vertices : ndarray, shape (V, 3), float32
        World positions [m].
    points : ndarray, shape (V, 3), float32
        x, y in samples and depth in metres.
    face, depth : ndarray, shape (height, width)
        The z-buffer: triangle (-1 for none) and depth of every sample.
    index : ndarray, shape (N,), int32
        Flat index of every covered sample.
    table : ndarray, shape (N, raster.COLUMNS), float32
        Surface under every covered sample.
    supersample : int
        Samples per pixel and axis.
    """

    vertices: np.ndarray
    points: np.ndarray
    face: np.ndarray
    depth: np.ndarray
    index: np.ndarray
    table: np.ndarray
    supersample: int


class CpuRenderer:
    """Compiled kernels, one thread per call.

    ``shadow_size`` is the side of the shadow maps in texels.
    """

    def __init__(self, model: Model, shadow_size: int) -> None:
        self._model, self._shadow_size = model, shadow_size

    def trace(
        self, vertices: np.ndarray, points: np.ndarray, rotation: np.ndarray, size: tuple[int, int], supersample: int
    ) -> View:
        """Find the surface under every sample of a grid of ``size`` samples; ``rotation`` (3, 3) is the head's."""
        m = self._model
        face, depth = raster.rasterize(points, m.faces, m.cutout, m.uv, m.cut, *size, False)
        normals = raster.vertex_normals(vertices, m.faces, m.weld)
        index, table = raster.gather(
            face, points, m.faces, vertices, normals, m.uv, m.surface, rotation.astype(np.float32)
        )
        return View(vertices, points, face, depth, index, table, supersample)

    def relight(self, view: View, directions: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Radiance (H, W, 3) under distant lights ``directions`` (K, 3) of irradiance ``weights`` (K, 3)."""
        out = np.zeros(_picture_shape(view), np.float32)
        for direction, weight in zip(directions.astype(np.float32), weights.astype(np.float32), strict=True):
            if weight.any():
                self._add_light(view, direction, weight, out)
        return out

    def olat(self, view: View, directions: np.ndarray) -> np.ndarray:
        """Radiance (K, H, W, 3) under each light alone at unit irradiance."""
        out = np.zeros((len(directions), *_picture_shape(view)), np.float32)
        for image, direction in zip(out, directions.astype(np.float32), strict=True):
            self._add_light(view, direction, np.ones(3, np.float32), image)
        return out

    def _add_light(self, view: View, direction: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
        """Add one light to ``out``, with shadows from a depth map seen from the light."""
        m, n = self._model, self._shadow_size
        frame = light_frame(direction, n)
        seen = view.vertices @ frame[:, :3].T + frame[:, 3]
        _, shadow = raster.rasterize(seen, m.faces, m.cutout, m.uv, m.cut, n, n, True)
        raster.shade(
            view.index, view.table, direction, shadow, frame, shadow_offset(n), view.face.shape[1], view.supersample,
            weight, out,
        )


def light_frame(direction: np.ndarray, size: int) -> np.ndarray:
    """Affine map (3, 4) float32 from world to shadow-map pixels (x right, y down) and depth towards the light."""
    up = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
    right = np.cross(up, direction)
    right /= np.linalg.norm(right)
    scale = size / (2 * _SHADOW_RADIUS)
    rows = np.stack([right * scale, np.cross(right, direction) * scale, direction])
    shift = np.array([(size - 1) / 2, (size - 1) / 2, 0.0]) - rows @ _SHADOW_MIDDLE
    return np.concatenate([rows, shift[:, None]], 1).astype(np.float32)


def shadow_offset(size: int) -> np.ndarray:
    """Normal offset and depth bias [m] that keep a surface from shading itself, in proportion to a map's texels."""
    texel = 2 * _SHADOW_RADIUS / size
    return np.array([2.5 * texel, 0.8 * texel], np.float32)


def _picture_shape(view: View) -> tuple[int, int, int]:
    """Height, width and channels of a view's picture."""
    height, width = view.face.shape
    return height // view.supersample, width // view.supersample, 3
