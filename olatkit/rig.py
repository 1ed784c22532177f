"""The light rig: where the lights stand and how bright each is."""

import hashlib
import logging
from dataclasses import dataclass

import numpy as np

from olatkit.errors import ConfigError
from olatkit.geometry import fibonacci_directions

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LightRig:
    """The lights of a stage; a light's index is its id everywhere.

    Parameters
    ----------
    name : str
        Name shown in messages and reports.
    directions : ndarray, shape (L, 3)
        Unit vectors from the subject to each light; +X right, +Y up, +Z to the camera.
    positions : ndarray, shape (L, 3), optional
        Positions in metres, origin at the subject; None for distant lights.
    gains : ndarray, shape (L, 3), optional
        Brightness of each light and channel relative to the mean light; ones if None. Divided out once, at
        ingest or import.
    enabled : ndarray of bool, shape (L,), optional
        False for a dead light: it keeps its index, has weight 0, and its cell goes to its neighbours.

    Raises
    ------
    ConfigError
        Directions that are not finite or not unit, two lights in one direction, gains that are not positive,
        arrays that disagree in length. Odd radii and close neighbours are logged as warnings.
    """

    name: str
    directions: np.ndarray
    positions: np.ndarray | None = None
    gains: np.ndarray = None  # type: ignore[assignment]  # always an array after __post_init__
    enabled: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        directions = np.asarray(self.directions, float)
        n = len(directions)
        if directions.ndim != 2 or directions.shape[1] != 3 or n == 0:
            raise ConfigError(f"rig '{self.name}': directions have shape {directions.shape}, expected (lights, 3)")
        gains = np.ones((n, 3)) if self.gains is None else np.asarray(self.gains, float)
        enabled = np.ones(n, bool) if self.enabled is None else np.asarray(self.enabled, bool)
        positions = None if self.positions is None else np.asarray(self.positions, float)
        for label, value, shape in (
            ("gains", gains, (n, 3)),
            ("enabled", enabled, (n,)),
            ("positions", positions, (n, 3)),
        ):
            if value is not None and value.shape != shape:
                raise ConfigError(f"rig '{self.name}': {label} have shape {value.shape}, expected {shape}")
        for label, value in (("direction", directions), ("position", positions), ("gain", gains)):
            if value is not None and not np.isfinite(value).all():
                bad = int(np.flatnonzero(~np.isfinite(value).all(axis=1))[0])
                raise ConfigError(
                    f"rig '{self.name}': {label} of light {bad} is {value[bad].tolist()}, expected finite numbers"
                )
        lengths = np.linalg.norm(directions, axis=1)
        if np.abs(lengths - 1).max() > 1e-4:
            bad = int(np.abs(lengths - 1).argmax())
            raise ConfigError(f"rig '{self.name}': direction of light {bad} has length {lengths[bad]:.6g}, expected 1")
        directions = directions / lengths[:, None]
        if (gains <= 0).any():
            bad = int(np.flatnonzero((gains <= 0).any(axis=1))[0])
            raise ConfigError(
                f"rig '{self.name}': gain of light {bad} is {gains[bad].tolist()}, expected positive; "
                "set enabled to false for a dead light"
            )
        if n > 1:
            self._check_neighbours(directions)
        if positions is not None:
            self._check_radii(positions)
        for field, value in (
            ("directions", directions),
            ("positions", positions),
            ("gains", gains),
            ("enabled", enabled),
        ):
            if value is not None:
                value = value.copy()
                value.setflags(write=False)
            object.__setattr__(self, field, value)

    def _check_neighbours(self, directions: np.ndarray) -> None:
        """Duplicate directions are an error, neighbours closer than 5 degrees a warning."""
        cosine = directions @ directions.T
        np.fill_diagonal(cosine, -1)
        a = int(cosine.max(axis=1).argmax())
        b = int(cosine[a].argmax())
        angle = np.degrees(np.arccos(np.clip(cosine[a, b], -1, 1)))
        if angle < 0.01:
            raise ConfigError(
                f"rig '{self.name}': lights {min(a, b)} and {max(a, b)} have the same direction "
                f"{np.round(directions[a], 4).tolist()}; remove one or correct its position"
            )
        if angle < 5:
            log.warning(
                "rig '%s': lights %d and %d are only %.2f degrees apart", self.name, min(a, b), max(a, b), angle
            )

    def _check_radii(self, positions: np.ndarray) -> None:
        """Warn about lights whose distance differs from the median by more than 15 %."""
        radius = np.linalg.norm(positions, axis=1)
        median = np.median(radius)
        odd = np.flatnonzero(np.abs(radius / median - 1) > 0.15)
        if odd.size:
            log.warning(
                "rig '%s': lights %s are more than 15 %% off the median radius %.3f m",
                self.name,
                odd[:8].tolist(),
                median,
            )

    def __len__(self) -> int:
        return len(self.directions)

    @property
    def digest(self) -> str:
        """SHA-256 over directions, positions, gains and enabled flags, for caches and provenance."""
        h = hashlib.sha256()
        for value in (self.directions, self.positions, self.gains, self.enabled):
            h.update(b"-" if value is None else np.ascontiguousarray(value).tobytes())
        return h.hexdigest()

    def __repr__(self) -> str:
        return f"LightRig('{self.name}', {len(self)} lights, {int(self.enabled.sum())} enabled)"


def default_rig(n: int = 114, radius_m: float = 1.3) -> LightRig:
    """The simulated stage's rig: relaxed Fibonacci points on a sphere of ``radius_m``.

    The paper gives no light positions, so a real stage brings its own rig file.
    """
    directions = fibonacci_directions(n)
    return LightRig(f"fibonacci-{n}", directions, directions * radius_m)
