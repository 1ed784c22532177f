"""Axes, lat-long pixels, solid angles, rotations and light layouts; the only module that owns them.

World axes: right-handed, +X right in the picture, +Y up, +Z from the subject to the camera. A lat-long pixel
centre is u = (c + 0.5)/W, v = (r + 0.5)/H; its direction, from the subject outwards, is
ω = (sinθ sinφ, cosθ, −sinθ cosφ) with θ = πv and φ = π(2u − 1). See ``docs/conventions.md``.
"""

import numpy as np


def latlong_directions(height: int, width: int) -> np.ndarray:
    """Unit direction of every lat-long pixel centre, shape (height, width, 3), float64."""
    u = (np.arange(width) + 0.5) / width
    v = (np.arange(height) + 0.5) / height
    return uv_to_direction(*np.meshgrid(u, v))


def uv_to_direction(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Lat-long coordinates u, v in [0, 1] to unit directions, shape (..., 3)."""
    theta, phi = np.pi * np.asarray(v), np.pi * (2 * np.asarray(u) - 1)
    return np.stack([np.sin(theta) * np.sin(phi), np.cos(theta), -np.sin(theta) * np.cos(phi)], axis=-1)


def direction_to_uv(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions (..., 3) to lat-long coordinates u in [0, 1), v in [0, 1]."""
    x, y, z = np.moveaxis(np.asarray(directions, float), -1, 0)
    u = 0.5 * (1 + np.arctan2(x, -z) / np.pi)
    return u % 1.0, np.arccos(np.clip(y, -1, 1)) / np.pi


def direction_to_angles(direction: np.ndarray) -> tuple[float, float]:
    """Elevation above the horizon and azimuth [deg] of a direction (3,): azimuth 0 is +Z, the camera, and 90 is +X."""
    x, y, z = np.asarray(direction, float)
    return float(np.degrees(np.arctan2(y, np.hypot(x, z)))), float(np.degrees(np.arctan2(x, z)))


def row_solid_angles(height: int, width: int) -> np.ndarray:
    """Solid angle [sr] of one pixel of each lat-long row, shape (height,); ``width * sum`` is 4π exactly."""
    edges = np.cos(np.pi * np.arange(height + 1) / height)
    return (edges[:-1] - edges[1:]) * 2 * np.pi / width


def rotation_y(yaw_deg: float) -> np.ndarray:
    """R_y(yaw): takes +Z to +X for +90 degrees, shape (3, 3)."""
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def rotation_matrix(yaw_deg: float, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> np.ndarray:
    """R_y(yaw) R_x(pitch) R_z(roll), shape (3, 3): roll acts first, yaw last.

    Positive yaw takes +Z to +X, positive pitch takes +Y to +Z (what was above comes to the camera's side), positive
    roll takes +X to +Y (counter-clockwise in the picture).
    """
    a, b = np.radians(pitch_deg), np.radians(roll_deg)
    pitch = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    roll = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return rotation_y(yaw_deg) @ pitch @ roll


def mirror_ball_directions(size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions that a mirror ball at the subject shows to a distant camera on +Z.

    Returns
    -------
    directions : ndarray, shape (size_px, size_px, 3)
        Unit directions reflected at every pixel centre; +Z at the ball's centre, -Z at its rim.
    inside : ndarray of bool, shape (size_px, size_px)
        Pixels whose centre lies on the ball, which touches the picture's edges.
    """
    axis = (np.arange(size_px) + 0.5) / size_px * 2 - 1
    right, down = np.meshgrid(axis, axis)
    squared = right**2 + down**2
    normals = np.stack([right, -down, np.sqrt(np.maximum(1 - squared, 0))], axis=-1)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1)
    return 2 * normals[..., 2:] * normals - np.array([0, 0, 1.0]), squared <= 1


def fibonacci_directions(n: int, relax_steps: int = 200) -> np.ndarray:
    """Spread ``n`` directions evenly over the sphere, shape (n, 3), float64 unit vectors.

    Fibonacci points followed by ``relax_steps`` steps of Coulomb repulsion with a decaying step. For n = 114
    neighbours are 18.07 to 19.98 degrees apart and Voronoi cells differ by 2.3 % (standard deviation).
    """
    i = np.arange(n) + 0.5
    y = 1 - 2 * i / n
    azimuth = np.pi * (3 - 5**0.5) * i
    radius = np.sqrt(1 - y * y)
    d = np.stack([radius * np.sin(azimuth), y, radius * np.cos(azimuth)], axis=1)
    for step in range(relax_steps):
        gap = d[:, None] - d[None]
        squared = (gap**2).sum(-1) + np.eye(n)
        force = (gap / squared[..., None] ** 1.5).sum(1)
        force -= (force * d).sum(1, keepdims=True) * d
        d = d + force * (0.5 / n) * (1 - step / relax_steps)
        d /= np.linalg.norm(d, axis=1, keepdims=True)
    return d
