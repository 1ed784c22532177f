"""A mirror ball and a white diffuse ball in the light of a map, as a camera beside the subject's would see them."""

from functools import lru_cache

import numpy as np

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import direction_to_uv, latlong_directions, mirror_ball_directions
from olatkit.latlong import with_border

# Rows of the small maps on which a diffuse surface's light is found; its cosine is far wider than their pixels.
COARSE = 32


class LightingBall:
    """Balls of one size, for many maps.

    Parameters
    ----------
    size_px : int
        Diameter in pixels.
    supersample : int
        Samples per pixel and axis.
    """

    def __init__(self, size_px: int = 128, *, supersample: int = 2) -> None:
        self._size = size_px
        self._mirrored, self._inside = mirror_ball_directions(size_px * supersample)
        towards_camera = self._mirrored + np.array([0, 0, 1.0])
        self._normals = towards_camera / np.maximum(np.linalg.norm(towards_camera, axis=-1, keepdims=True), 1e-6)
        grid = latlong_directions(COARSE, 2 * COARSE).reshape(-1, 3)
        self._cosines = np.maximum(grid @ grid.T, 0).astype(np.float32)
        # Where every sample lies on maps of one size: found once, since the balls stand still.
        self._places = lru_cache(maxsize=4)(self._find_places)

    def mirror(self, environment: EnvironmentMap) -> np.ndarray:
        """The mirror ball, linear radiance, shape (size_px, size_px, 3); black beside it."""
        return self._sample(environment.radiance, "mirror")

    def diffuse(self, environment: EnvironmentMap) -> np.ndarray:
        """The diffuse ball of albedo 1, shape (size_px, size_px, 3): a white sky of radiance 1 makes it 1."""
        small = environment.downsample(COARSE, 2 * COARSE)
        light = (small.radiance * small.solid_angles[:, None, None]).reshape(-1, 3)
        shade = (self._cosines @ light.astype(np.float32) / np.pi).reshape(COARSE, 2 * COARSE, 3)
        return self._sample(shade, "diffuse")

    def _find_places(self, height: int, width: int, ball: str) -> tuple[np.ndarray, np.ndarray]:
        """Column and row of every sample in a lat-long picture with a border of one pixel."""
        u, v = direction_to_uv(self._mirrored if ball == "mirror" else self._normals)
        return (u * width + 0.5).astype(np.float32), (v * height + 0.5).astype(np.float32)

    def _sample(self, radiance: np.ndarray, ball: str) -> np.ndarray:
        """Mean over the samples of every pixel, bilinear in the map, black outside the ball."""
        import cv2

        places = self._places(*radiance.shape[:2], ball)
        samples = np.asarray(cv2.remap(with_border(radiance), *places, cv2.INTER_LINEAR))
        samples *= self._inside[..., None]
        return cv2.resize(samples, (self._size, self._size), interpolation=cv2.INTER_AREA)


def lighting_ball(environment: EnvironmentMap, size_px: int = 128, *, supersample: int = 3) -> np.ndarray:
    """A mirror ball and a white diffuse ball side by side, as the camera would see them, linear.

    Returns
    -------
    ndarray, shape (size_px, 2 * size_px, 3), float32
        Radiance; black outside the balls. Seen from far away along -Z.
    """
    ball = LightingBall(size_px, supersample=supersample)
    return np.concatenate([ball.mirror(environment), ball.diffuse(environment)], axis=1)
