"""Environment maps: linear HDR radiance over the whole sphere in lat-long form."""

from dataclasses import dataclass

import numpy as np

from olatkit.color import luminance
from olatkit.geometry import direction_to_uv, row_solid_angles


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

        Wraps at the seam; beyond the last row centres the pole's row holds.
        """
        height, width = self.shape
        u, v = direction_to_uv(directions)
        x, y = u * width - 0.5, np.clip(v * height - 0.5, 0, height - 1)
        left, top = np.floor(x).astype(int), np.minimum(np.floor(y).astype(int), height - 2 if height > 1 else 0)
        fx, fy = (x - left)[..., None].astype(np.float32), (y - top)[..., None].astype(np.float32)
        bottom = np.minimum(top + 1, height - 1)
        columns = left % width, (left + 1) % width
        upper = (1 - fx) * self.radiance[top, columns[0]] + fx * self.radiance[top, columns[1]]
        lower = (1 - fx) * self.radiance[bottom, columns[0]] + fx * self.radiance[bottom, columns[1]]
        return (1 - fy) * upper + fy * lower

    def rotate(self, yaw_deg: float) -> "EnvironmentMap":
        """Turn the content by R_y(yaw): +90 degrees takes light from +Z to +X. Power is kept.

        A fraction of a pixel column is interpolated linearly between the two whole-column rolls.
        """
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


def overlap_matrix(source_edges: np.ndarray, target_edges: np.ndarray) -> np.ndarray:
    """Share of every target interval covered by every source interval, rows sum to 1.

    Both edge lists are monotone in the same sense and span the same range.
    """
    s0, s1 = np.minimum(source_edges[:-1], source_edges[1:]), np.maximum(source_edges[:-1], source_edges[1:])
    t0, t1 = np.minimum(target_edges[:-1], target_edges[1:]), np.maximum(target_edges[:-1], target_edges[1:])
    share = np.maximum(np.minimum(s1, t1[:, None]) - np.maximum(s0, t0[:, None]), 0)
    return share / share.sum(axis=1, keepdims=True)
