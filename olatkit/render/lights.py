"""Light at one instant: shares of environment maps, turned, and lamps of any size and colour."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from olatkit.geometry import latlong_directions, rotation_matrix, row_solid_angles

Color = tuple[float, float, float]


@dataclass(frozen=True)
class MapShare:
    """A map's part in the light: ``factor`` times its radiance, or times its radiance at mean luminance 1."""

    name: str
    factor: float = 1.0
    normalized: bool = False


@dataclass(frozen=True)
class Lamp:
    """A round light, far away.

    Parameters
    ----------
    yaw_deg, elevation_deg : float
        Where it stands: yaw 0 on the camera's side, +90 at the picture's right; elevation +90 above.
    size_deg : float
        Angle across, as seen from the subject; 0 for a point.
    power : tuple of 3 floats
        Radiance times solid angle [sr] per channel, not negative.
    """

    yaw_deg: float
    elevation_deg: float
    size_deg: float
    power: Color

    @property
    def direction(self) -> np.ndarray:
        """Unit direction from the subject to the lamp, shape (3,)."""
        return rotation_matrix(self.yaw_deg, -self.elevation_deg) @ np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Light:
    """All the light of one picture.

    Parameters
    ----------
    maps : tuple of MapShare
        They add up.
    rotation_deg : tuple of 3 floats
        Yaw, pitch and roll of the maps, as in ``EnvironmentMap.rotate``.
    lamps : tuple of Lamp
        They add to the maps and are not turned by ``rotation_deg``.
    """

    maps: tuple[MapShare, ...] = ()
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    lamps: tuple[Lamp, ...] = ()

    def turned(self, yaw_deg: float) -> "Light":
        """Everything, maps and lamps, turned about the vertical axis."""
        if not yaw_deg % 360:
            return self
        yaw, pitch, roll = self.rotation_deg
        lamps = tuple(replace(lamp, yaw_deg=lamp.yaw_deg + yaw_deg) for lamp in self.lamps)
        return replace(self, rotation_deg=(yaw + yaw_deg, pitch, roll), lamps=lamps)


def paint_lamps(lamps: tuple[Lamp, ...], height: int, width: int) -> np.ndarray:
    """Lamps as lat-long radiance, shape (height, width, 3), float32.

    Discs have an edge one pixel soft and are at least three pixels across, so that they move smoothly; the power of
    each is exact.
    """
    picture = np.zeros((height, width, 3))
    solid_angles = row_solid_angles(height, width)[:, None]
    pixel = max(np.pi / height, 2 * np.pi / width)
    for lamp in lamps:
        if not any(lamp.power):
            continue
        angle = np.arccos(np.clip(_directions(height, width) @ lamp.direction, -1, 1))
        radius = max(np.radians(lamp.size_deg) / 2, pixel)
        cover = np.clip((radius - angle) / pixel + 0.5, 0, 1)
        picture += (cover / (cover * solid_angles).sum())[..., None] * np.array(lamp.power)
    return picture.astype(np.float32)


@lru_cache(maxsize=4)
def _directions(height: int, width: int) -> np.ndarray:
    """Pixel directions, kept: every picture of a film paints its lamps on the same grid."""
    return latlong_directions(height, width)
