"""Random lightings for training: real maps turned about the vertical, coloured point lights, and their mixtures.

Zhang et al., Neural Video Portrait Relighting in Real-time via Consistency Modeling, ICCV 2021, section 4.3: every
sample of two adjacent frames gets three lightings, L^i for the first frame, L^j for the second, L^k as the target.
All random numbers come from one NumPy generator, a few dozen per sample; the maps made from them are array work that
runs alike on NumPy arrays and, after :meth:`LightingSampler.to`, on torch tensors on any device.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from olatkit.color import REC709_LUMINANCE
from olatkit.envmap import overlap_matrix
from olatkit.geometry import latlong_directions, row_solid_angles

# Rows and columns of a lighting as the network sees it.
GRID = 16
# Lat-long grid on which point lights are evaluated before they are averaged over the cells of a lighting.
POINT_GRID = (64, 128)
MAX_POINT_LIGHTS = 3


class SamplingConfig(BaseModel):
    """How training lightings are drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mixing: bool = Field(
        True,
        description="mix neighbours and target by Beta weights and add point lights (Eq. 9); false: three independent "
        "maps, the ablation without sampling",
    )
    beta: float = Field(0.5, gt=0, description="both parameters of the Beta distribution of the mixing weights")
    distance: Literal["surface", "center"] = Field(
        "surface", description="whether the largest distance of a point light counts from the unit sphere or its centre"
    )
    nearest: float = Field(0.05, gt=0, description="smallest distance of a point light to the unit sphere's surface")
    farthest: float = Field(1.5, gt=0, description="largest distance of a point light, see `distance`")
    level: tuple[float, float] = Field(
        (0.2, 1.0), description="range of the mean luminance of the point lights together; a map's is 1"
    )
    exposure_stops: float = Field(0.0, ge=0, description="random exposure of a whole triplet, ± this many stops")

    def model_post_init(self, _context: object) -> None:
        if not 0 <= self.level[0] <= self.level[1]:
            raise ValueError(f"level is {self.level}, expected a range from low to high, not negative")
        if self.nearest >= self.reach:
            raise ValueError(f"nearest {self.nearest:g} is not below the largest distance to the surface, {self.reach:g}")

    @property
    def reach(self) -> float:
        """Largest distance of a point light from the surface of the unit sphere."""
        return self.farthest if self.distance == "surface" else self.farthest - 1


@dataclass(frozen=True, eq=False)
class LightingDraw:
    """The random numbers behind B lighting triplets.

    ``maps`` (B, 3) whole numbers and ``yaw_deg`` (B, 3) choose X^i, X^j, X^k; ``beta`` (B, 2) are β1 and β2;
    ``points`` (B, 3, 3) are positions of point lights in units of the sphere's radius, ``colours`` (B, 3, 3) their
    colours, black where a sample has fewer than three; ``level`` (B,) the mean luminance they share; ``exposure``
    (B,) a factor of the whole triplet.
    """

    maps: np.ndarray
    yaw_deg: np.ndarray
    beta: np.ndarray
    points: np.ndarray
    colours: np.ndarray
    level: np.ndarray
    exposure: np.ndarray


@dataclass(frozen=True, eq=False)
class LightingTriplet:
    """L^i, L^j and L^k of Eq. 9, each (B, 16, 16, 3) linear radiance, float32: NumPy arrays or torch tensors."""

    light_i: Any
    light_j: Any
    light_k: Any


def draw_lightings(
    rng: np.random.Generator, count: int, n_maps: int, config: SamplingConfig | None = None
) -> LightingDraw:
    """Draw the random numbers of ``count`` triplets from a bank of ``n_maps`` maps; the same seed, the same numbers."""
    config = config or SamplingConfig()
    directions = rng.standard_normal((count, MAX_POINT_LIGHTS, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    distance = rng.uniform(config.nearest, config.reach, (count, MAX_POINT_LIGHTS, 1))
    present = np.arange(MAX_POINT_LIGHTS) < rng.integers(1, MAX_POINT_LIGHTS + 1, (count, 1))
    return LightingDraw(
        maps=rng.integers(n_maps, size=(count, 3)),
        yaw_deg=rng.uniform(0, 360, (count, 3)),
        beta=rng.beta(config.beta, config.beta, (count, 2)),
        points=directions * (1 + distance),
        colours=rng.uniform(0, 1, (count, MAX_POINT_LIGHTS, 3)) * present[..., None],
        level=rng.uniform(*config.level, count),
        exposure=2.0 ** rng.uniform(-config.exposure_stops, config.exposure_stops, count),
    )


def point_light_maps(points: Any, colours: Any, normals: Any) -> Any:
    """Light of points outside a unit sphere, projected onto it as on a Lambertian surface.

    Parameters
    ----------
    points : ndarray or tensor, shape (B, S, 3)
        Positions, outside the unit sphere.
    colours : ndarray or tensor, shape (B, S, 3)
        Linear colours, not negative; black leaves a light out.
    normals : ndarray or tensor, shape (P, 3)
        Unit directions at which the sphere is evaluated.

    Returns
    -------
    ndarray or tensor, shape (B, P, 3)
        ``Y(n) = Σ_s c_s max(0, n·(p_s − n)/|p_s − n|) (δ_s/|p_s − n|)²``, with δ_s the distance of light s to the
        nearest point of the sphere: 1 there whatever the distance, which sets the width of the lit cap (half-angle
        arccos 1/|p|) and not its power. 0 outside the caps.
    """
    along = points @ normals.T  # n·p, and with |n| = 1: n·(p − n) = n·p − 1, |p − n|² = |p|² + 1 − 2 n·p
    radius_squared = (points**2).sum(-1)[..., None]
    gap = radius_squared**0.5 - 1
    distance_squared = radius_squared + 1 - 2 * along
    received = (along - 1).clip(min=0) * gap**2 / (distance_squared * distance_squared**0.5)
    return received.swapaxes(1, 2) @ colours


@dataclass(frozen=True, eq=False)
class LightingSampler:
    """Draws the lightings of training samples from a bank of maps.

    Parameters
    ----------
    maps : ndarray, shape (N, H, W, 3)
        Linear radiance, lat-long, finite and not negative, any size. 16 rows are kept, and all columns: a turned map
        is averaged over the cells of its lighting exactly when W is large; a bank of 16 columns is turned by linear
        interpolation between columns. Every map is scaled to mean luminance 1.
    config : SamplingConfig
        The distributions.
    """

    maps: Any
    config: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        if not isinstance(self.maps, np.ndarray):
            return  # already checked: this is the copy on a device
        maps = np.asarray(self.maps, np.float64)
        if maps.ndim != 4 or maps.shape[3] != 3 or 0 in maps.shape:
            raise ValueError(f"maps have shape {maps.shape}, expected (maps, height, width, 3) and at least one map")
        if not np.isfinite(maps).all() or maps.min() < 0:
            raise ValueError("maps hold radiance that is negative or not finite")
        rows = overlap_matrix(_row_edges(maps.shape[1]), _row_edges(GRID))
        maps = (rows @ maps.reshape(*maps.shape[:2], -1)).reshape(len(maps), GRID, -1, 3)
        luminance = mean_luminance(maps)
        if luminance.min() <= 0:
            raise ValueError(f"map {int(luminance.argmin())} is black: it has no exposure; leave it out of the bank")
        object.__setattr__(self, "maps", (maps / luminance[:, None, None, None]).astype(np.float32))

    def to(self, device: str) -> "LightingSampler":
        """The same sampler with its bank on a torch device; :meth:`triplets` then returns tensors there."""
        import torch

        return replace(self, maps=torch.as_tensor(self.maps, device=device))

    def sample(self, rng: np.random.Generator, count: int) -> LightingTriplet:
        """Draw ``count`` triplets."""
        return self.triplets(draw_lightings(rng, count, len(self.maps), self.config))

    def triplets(self, draw: LightingDraw) -> LightingTriplet:
        """Eq. 9: L^i = X^i, L^j = β1 L^i + (1 − β1) X^j, L^k = β2 L^j + (1 − β2) X^k + Y.

        Without ``config.mixing`` the three are X^i, X^j and X^k. Linear radiance, not negative.
        """
        x_i, x_j, x_k = (self.turned_maps(draw.maps[:, n], draw.yaw_deg[:, n]) for n in range(3))
        exposure = self._like_maps(draw.exposure[:, None, None, None])
        if not self.config.mixing:
            return LightingTriplet(x_i * exposure, x_j * exposure, x_k * exposure)
        beta_1, beta_2 = (self._like_maps(draw.beta[:, n, None, None, None]) for n in range(2))
        light_j = beta_1 * x_i + (1 - beta_1) * x_j
        light_k = beta_2 * light_j + (1 - beta_2) * x_k + self.point_lights(draw)
        return LightingTriplet(x_i * exposure, light_j * exposure, light_k * exposure)

    def turned_maps(self, index: np.ndarray, yaw_deg: np.ndarray) -> Any:
        """Distribution G: maps ``index`` (B,) turned by ``yaw_deg`` (B,), averaged over 16x16 cells, (B, 16, 16, 3)."""
        columns = self._like_maps(turning_matrices(self.maps.shape[2], yaw_deg))
        return columns[:, None] @ self.maps[index]

    def point_lights(self, draw: LightingDraw) -> Any:
        """Distribution H: one to three point lights, scaled to their mean luminance, (B, 16, 16, 3)."""
        # In double precision: next to the sphere the distances are small differences of large numbers.
        points, colours, normals = (self._like_maps(v, 64) for v in (draw.points, draw.colours, _POINT_NORMALS))
        light = point_light_maps(points, colours, normals).reshape(len(points), POINT_GRID[0], -1)
        rows = self._like_maps(overlap_matrix(_row_edges(POINT_GRID[0]), _row_edges(GRID)), 64)
        columns = self._like_maps(turning_matrices(POINT_GRID[1], np.zeros(1)), 64)
        cells = columns[:, None] @ (rows @ light).reshape(len(points), GRID, -1, 3)
        scale = self._like_maps(draw.level, 64) / mean_luminance(cells).clip(min=1e-12)
        return self._like_maps(cells * scale[:, None, None, None])

    def _like_maps(self, values: Any, bits: int = 32) -> Any:
        """Float array of the bank's kind, on its device."""
        if isinstance(self.maps, np.ndarray):
            return np.asarray(values, f"float{bits}")
        import torch

        return torch.as_tensor(values, dtype=getattr(torch, f"float{bits}"), device=self.maps.device)


def turning_matrices(width: int, yaw_deg: np.ndarray) -> np.ndarray:
    """Matrices that turn map columns about the vertical and average them over the 16 columns of a lighting.

    Returns
    -------
    ndarray, shape (B, 16, width), float64
        Share of every cell that each source column covers after a turn by R_y(yaw); rows sum to 1. Whole columns
        are moved, fractions are shared exactly, and power is kept.
    """
    # A positive turn takes +Z (the seam) to +X (u = 3/4): the content moves towards smaller u.
    left = np.arange(width) / width - np.asarray(yaw_deg, float)[:, None] / 360
    left = (left % 1.0)[:, None, :]
    cells = (np.arange(GRID) / GRID)[:, None]
    share = np.zeros((len(left), GRID, width))
    for wrap in (0, 1):  # a column that crosses the seam covers cells at both ends
        low = np.maximum(left - wrap, cells)
        high = np.minimum(left - wrap + 1 / width, cells + 1 / GRID)
        share += np.maximum(high - low, 0)
    return share * GRID


def mean_luminance(maps: Any) -> Any:
    """Luminance of maps (B, H, W, 3) averaged over the sphere by solid angle, shape (B,)."""
    shares = row_solid_angles(*maps.shape[1:3])[:, None] * REC709_LUMINANCE / (4 * np.pi)
    if not isinstance(maps, np.ndarray):
        shares = maps.new_tensor(shares)
    return (maps.sum(2) * shares).sum((1, 2))


def _row_edges(height: int) -> np.ndarray:
    """Cosine of the polar angle at the edges of lat-long rows: equal steps hold equal solid angles."""
    return np.cos(np.pi * np.arange(height + 1) / height)


_POINT_NORMALS = latlong_directions(*POINT_GRID).reshape(-1, 3)
