"""Balls rendered pixel by pixel with rays, in formulas that share nothing with the package."""

import numpy as np

from olatkit.capture.probes import Ball, Camera

SUPERSAMPLE = 3


def trace(camera: Camera | None, center: np.ndarray, radius: float, size: int) -> tuple[Ball, np.ndarray]:
    """A ball at ``center`` [m, camera at the origin]: its outline as a circle, and its silhouette (size, size)."""
    hit, _, _ = _hits(camera, center, radius, size, 1)
    y, x = np.nonzero(hit)
    area = hit.sum()
    return Ball(float(x.mean()), float(y.mean()), float(np.sqrt(area / np.pi))), hit


def mirror_ball(light: np.ndarray, ball: Ball, size: int, camera: Camera | None, *, sharpness: float = 3000) -> np.ndarray:
    """Grey picture of a mirror ball under a small round light."""
    hit, normals, rays = _ball_hits(ball, size, camera)
    mirrored = rays - 2 * (rays * normals).sum(-1, keepdims=True) * normals
    bright = np.where(hit, np.exp(sharpness * (mirrored @ light - 1)), 0)
    return _reduce(bright, size)


def diffuse_ball(light: np.ndarray, ball: Ball, size: int) -> np.ndarray:
    """White Lambertian ball seen from far away."""
    hit, normals, _ = _ball_hits(ball, size, None)
    return _reduce(np.where(hit, np.maximum(normals @ light, 0), 0), size)


def _ball_hits(ball: Ball, size: int, camera: Camera | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if camera is None:
        return _far_hits(ball, size)
    # The same ball as in the test of perspective: the tests place it, pictures are made from that place.
    return _hits(camera, np.array([0.05, 0.03, -1.0]), 0.16, size, SUPERSAMPLE)


def _far_hits(ball: Ball, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = _grid(size, SUPERSAMPLE)
    right, up = (x - ball.x) / ball.radius, -(y - ball.y) / ball.radius
    hit = right**2 + up**2 < 1
    normals = np.stack([right, up, np.sqrt(np.where(hit, 1 - right**2 - up**2, 0))], -1)
    rays = np.zeros_like(normals)
    rays[..., 2] = -1
    return hit, normals, rays


def _hits(
    camera: Camera | None, center: np.ndarray, radius: float, size: int, supersample: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    assert camera is not None
    x, y = _grid(size, supersample)
    rays = np.stack([x - camera.center[0], camera.center[1] - y, np.full_like(x, -camera.focal_px)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    b = rays @ center
    disc = b * b - center @ center + radius**2
    hit = disc > 0
    points = (b - np.sqrt(np.where(hit, disc, 0)))[..., None] * rays
    return hit, (points - center) / radius, rays


def _grid(size: int, supersample: int) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(size * supersample) + 0.5) / supersample - 0.5
    return tuple(np.meshgrid(axis, axis))  # type: ignore[return-value]


def _reduce(image: np.ndarray, size: int) -> np.ndarray:
    return image.reshape(size, SUPERSAMPLE, size, SUPERSAMPLE).mean(axis=(1, 3))
