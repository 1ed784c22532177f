"""Where shadow rays start on a mesh (numba kernel): on the smooth surface that its facets stand for, a little above.

Rays that start on the facets of a curved surface hit its own neighbours where the light grazes (J. Hanika, Hacking the
Shadow Terminator, Ray Tracing Gems II, 2021, doi:10.1007/978-1-4842-7185-8_4).
"""

import math

import numpy as np
from numba import njit

from olatkit.simulate.raster import barycentric

# Height above the surface [m], well over the rounding of float32.
CLEARANCE_M = np.float32(3e-5)


@njit(nogil=True, cache=True, error_model="numpy")
def ray_origins(index, face, points, faces, rest, normals, rotation, table):
    """Starts of the shadow rays of covered samples, shape (N, 3), float32, in the rest pose.

    Where the viewer sees the inside of an open mesh, its rays start inside, and its normals in ``table`` are turned
    to the viewer.

    Parameters
    ----------
    index : ndarray, shape (N,), int32
        Flat index of every covered sample.
    face : ndarray, shape (height, width), int32
        Triangle of every sample.
    points : ndarray, shape (V, 3), float32
        Projected vertices, in samples.
    faces : ndarray, shape (F, 3), int32
        Triangles.
    rest, normals : ndarray, shape (V, 3), float32
        Vertices and unit normals in the rest pose [m].
    rotation : ndarray, shape (3, 3), float32
        Rest pose to world; the viewer is at +Z.
    table : ndarray, shape (N, raster.COLUMNS), float32
        Surface under every sample; changed where the inside is seen.
    """
    wide = face.shape[1]
    out = np.empty((len(index), 3), np.float32)
    for n in range(len(index)):
        y, x = index[n] // wide, index[n] % wide
        f = face[y, x]
        corners = (faces[f, 0], faces[f, 1], faces[f, 2])
        a, b, c = corners
        weights = barycentric(points, a, b, c, np.float32(x), np.float32(y))
        bx, by, bz = rest[b, 0] - rest[a, 0], rest[b, 1] - rest[a, 1], rest[b, 2] - rest[a, 2]
        cx, cy, cz = rest[c, 0] - rest[a, 0], rest[c, 1] - rest[a, 1], rest[c, 2] - rest[a, 2]
        flat = (by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx)
        length = max(math.sqrt(flat[0] ** 2 + flat[1] ** 2 + flat[2] ** 2), np.float32(1e-30))
        side = np.float32(1)
        if rotation[2, 0] * flat[0] + rotation[2, 1] * flat[1] + rotation[2, 2] * flat[2] < 0:
            side = np.float32(-1)
            for k in range(3, 6):
                table[n, k] = -table[n, k]
        for k in range(3):
            out[n, k] = weights[0] * rest[a, k] + weights[1] * rest[b, k] + weights[2] * rest[c, k]
        centre = (out[n, 0], out[n, 1], out[n, 2])
        for i in range(3):
            v = corners[i]
            rise = weights[i] * height_above(centre, rest[v], normals[v], side)
            for k in range(3):
                out[n, k] += rise * side * normals[v, k]
        for k in range(3):
            out[n, k] += side * CLEARANCE_M * flat[k] / length
    return out


@njit(nogil=True, cache=True)
def height_above(centre, corner, normal, side):
    """How far the tangent plane of a corner lies above ``centre``, 0 where it lies below; ``side`` -1 turns it over."""
    below = np.float32(0)
    for k in range(3):
        below += (centre[k] - corner[k]) * normal[k] * side
    return -min(below, np.float32(0))
