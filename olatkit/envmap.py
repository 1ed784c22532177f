"""Environment maps: linear HDR radiance over the whole sphere in lat-long form."""

from dataclasses import dataclass

import numpy as np

from olatkit.color import luminance
from olatkit.geometry import latlong_directions, rotation_matrix, row_solid_angles
from olatkit.latlong import interpolate, overlap_matrix, turn_latlong, with_border


@dataclass(frozen=True, eq=False)
class EnvironmentMap:
    """Light arriving from every direction.

    Parameters
    ----------
    radiance : ndarray, shape (H, W, 3), float32
        Linear Rec.709 radiance, lat-long: centre column −Z (behind the subject), u = ¾ is +X, seam is +Z (camera
        side). Any H and W. Finite and not negative; suns are never clamped.
    name : str
        Name shown in messages and pictures.
    """

    radiance: np.ndarray
    name: str = "environment"

    def __post_init__(self) -> None:
        value = np.asarray(self.radiance, np.float32)
        if value.ndim != 3 or value.shape[2] != 3 or 0 in value.shape:
            raise ValueError(f"environment '{self.name}' has shape {value.shape}, expected (height, width, 3)")
        if not np.isfinite(value).all():
            count = int((~np.isfinite(value)).sum())
            raise ValueError(f"environment '{self.name}' holds {count} values that are not finite")
        if (value < 0).any():
            raise ValueError(f"environment '{self.name}' holds negative radiance ({value.min():g}), expected >= 0")
        object.__setattr__(self, "radiance", value)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.radiance.shape[0], self.radiance.shape[1]

    @property
    def solid_angles(self) -> np.ndarray:
        """Solid angle [sr] of one pixel of each row, shape (H,)."""
        return row_solid_angles(*self.shape)

    @property
    def power(self) -> np.ndarray:
        """Integral of radiance over the sphere, shape (3,), float64, radiance x sr."""
        return np.einsum("hwc,h->c", self.radiance.astype(np.float64), self.solid_angles)

    @property
    def mean_luminance(self) -> float:
        """Luminance averaged over the sphere by solid angle; 0 for a black map."""
        return float(luminance(self.power)) / (4 * np.pi)

    def look_up(self, directions: np.ndarray) -> np.ndarray:
        """Radiance in given directions (..., 3), bilinear between pixel centres, shape (..., 3), float32.

        Wraps at the seam; across a pole lies the row on the other side of it.
        """
        return interpolate(with_border(self.radiance), directions)

    def rotate(self, yaw_deg: float = 0.0, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> "EnvironmentMap":
        """Turn the content by R_y(yaw) R_x(pitch) R_z(roll); power is kept.

        Parameters
        ----------
        yaw_deg : float
            +90 takes light from +Z to +X. Alone, it moves whole columns exactly; a fraction of a column is
            interpolated linearly between the two whole-column rolls.
        pitch_deg : float
            +90 takes light from above to the camera's side, +Y to +Z.
        roll_deg : float
            +90 takes light from the right to above, +X to +Y.

        Notes
        -----
        Pitch and roll resample the picture, see :func:`olatkit.latlong.turn_latlong`.
        """
        if pitch_deg % 360 or roll_deg % 360:
            turned, _ = turn_latlong(self.radiance, rotation_matrix(yaw_deg, pitch_deg, roll_deg))
            return EnvironmentMap(turned, self.name)
        columns = -yaw_deg / 360.0 * self.shape[1]
        if abs(columns - round(columns)) < 1e-6:
            columns = round(columns)  # whole columns are moved, not interpolated, whatever the angle's rounding
        whole = int(np.floor(columns))
        part = np.float32(columns - whole)
        rolled = np.roll(self.radiance, whole, axis=1)
        if part:
            rolled = (1 - part) * rolled + part * np.roll(self.radiance, whole + 1, axis=1)
        return EnvironmentMap(rolled, self.name)

    def downsample(self, height: int = 16, width: int = 16) -> "EnvironmentMap":
        """Mean radiance over each cell of a ``height`` x ``width`` lat-long grid, weighted by solid angle.

        Exact fractional overlap (in cos θ for rows, in u for columns), so that power is kept at any size.
        """
        rows = overlap_matrix(np.cos(np.pi * np.arange(self.shape[0] + 1) / self.shape[0]),
                              np.cos(np.pi * np.arange(height + 1) / height))
        columns = overlap_matrix(np.linspace(0, 1, self.shape[1] + 1), np.linspace(0, 1, width + 1))
        bands = np.tensordot(rows, self.radiance.astype(np.float64), axes=1)
        return EnvironmentMap((columns @ bands).astype(np.float32), self.name)

    def __repr__(self) -> str:
        height, width = self.shape
        return f"EnvironmentMap('{self.name}', {width}x{height}, peak {self.radiance.max():g})"


@dataclass(frozen=True)
class ClippedLight:
    """A bright spot with a flat top, as a recording with too few exposures leaves it.

    ``direction`` (3,) of its middle; ``peak`` radiance of its brightest channel; ``pixels`` and ``solid_angle_sr`` of
    the flat top; ``share`` of the map's luminance that the flat top holds.
    """

    direction: np.ndarray
    peak: float
    pixels: int
    solid_angle_sr: float
    share: float

    @property
    def width_deg(self) -> float:
        """Diameter of a disc as large as the flat top [degrees]; the sun's own is half a degree."""
        return float(2 * np.degrees(np.arccos(1 - self.solid_angle_sr / (2 * np.pi))))


# A spot counts as flat when its top holds at least so many pixels and so much of all that is half as bright; it counts
# as a light, rather than a wall or an overcast sky, when its top is smaller than a disc of 20 degrees. The suns and
# lamps of 18 published maps have 1 to 8 pixels within half a per cent of their peak, at most 0.2 of what is half as
# bright.
FLAT_PIXELS, FLAT_SHARE, FLAT_SR = 3, 0.25, 0.1
FLAT_STEP = 0.005  # RGBE rounds to this; a clipped plateau is exact before rounding
HALF_MAX = 65504.0


def find_clipped_light(environment: EnvironmentMap) -> ClippedLight | None:
    """Look for a flat top on the brightest light of a map: its sun was clipped, and its power is unknown.

    Returns None where the peak is a peak. A lamp that is evenly bright looks the same; so this is a reason to look,
    not proof. Pictures of 8 or 16 bits hold nothing above white and are beyond help from here.
    """
    from scipy.ndimage import label

    red, green, blue = np.moveaxis(environment.radiance, 2, 0)
    brightest = np.maximum(np.maximum(red, green), blue)  # ten times as fast as a maximum over the last axis
    peak = float(brightest.max())
    top = brightest >= (1 - FLAT_STEP) * peak
    if peak <= 0 or not (top.sum() >= FLAT_PIXELS or peak == HALF_MAX):
        return None
    spots, _ = label(np.concatenate([brightest, brightest], axis=1) >= 0.5 * peak)  # twice: spots may cross the seam
    counts = np.bincount(spots[np.concatenate([top, top], axis=1)])
    spot = spots == int(counts.argmax())  # of all spots the one with the largest flat top
    width = environment.shape[1]
    spot = spot[:, :width] | spot[:, width:]
    flat = top & spot
    area = (flat.sum(axis=1) * environment.solid_angles).sum()
    if peak != HALF_MAX and (flat.sum() < FLAT_PIXELS or flat.sum() < FLAT_SHARE * spot.sum() or area > FLAT_SR):
        return None
    middle = latlong_directions(*environment.shape)[flat].sum(axis=0)
    light = luminance(environment.radiance) * environment.solid_angles[:, None]
    return ClippedLight(middle / max(float(np.linalg.norm(middle)), 1e-9), peak, int(flat.sum()), float(area),
                        float(light[flat].sum() / light.sum()))
