"""From the light of one picture to light weights, to a small map for a lighting ball, and to a view of the map."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from olatkit.color import luminance
from olatkit.envmap import EnvironmentMap
from olatkit.geometry import rotation_matrix
from olatkit.latlong import overlap_matrix
from olatkit.render.lights import Light, paint_lamps
from olatkit.render.weights import light_weights
from olatkit.rig import LightRig

# Rows of the 16x16 form, of the map that a lighting ball shows, and of the map that lamps are painted into.
FORM, SMALL, LAMPS = 16, 128, 256
# Whole maps in memory at once, reduced maps, and light weights. None of them grows with the length of a film.
KEPT_MAPS, KEPT_FORMS, KEPT_WEIGHTS = 4, 64, 4096


@dataclass(frozen=True, eq=False)
class MapForms:
    """What is kept of a map: 16 rows of all its columns, a small copy, its mean luminance."""

    bands: EnvironmentMap
    small: EnvironmentMap
    mean_luminance: float


class MapMixer:
    """Evaluates light over a library of maps that are read when they are needed.

    Parameters
    ----------
    load : callable
        Gives the EnvironmentMap of a name; called again when a map has been dropped from memory.
    rig : LightRig
        L lights.
    lighting : {"16x16", "full"}
        Whether weights are integrated from the 16x16 form or from all pixels.
    method, max_angle_deg, subject_m
        As in :func:`~olatkit.render.weights.light_weights`.

    Notes
    -----
    Averaging rows and turning about the vertical axis commute, so the 16x16 form of a turned map comes exactly from
    16 rows of all columns, at a thousandth of the effort. Maps with pitch or roll are turned at full resolution.
    """

    def __init__(
        self, load: Callable[[str], EnvironmentMap], rig: LightRig, *, lighting: Literal["16x16", "full"] = "16x16",
        method: str = "voronoi", max_angle_deg: float | None = None, subject_m: Sequence[float] | None = None,
    ) -> None:
        self._rig, self._lighting = rig, lighting
        self._method, self._max_angle_deg, self._subject_m = method, max_angle_deg, subject_m
        self._map = lru_cache(maxsize=KEPT_MAPS)(load)
        self._forms = lru_cache(maxsize=KEPT_FORMS)(lambda name: _reduce(self._map(name)))
        self._sharp = lru_cache(maxsize=KEPT_MAPS)(lambda name, rows: _limit(self._map(name), rows))
        self.weights = lru_cache(maxsize=KEPT_WEIGHTS)(self._compute_weights)

    def _compute_weights(self, light: Light) -> np.ndarray:
        """Light weights, shape (L, 3) [sr x radiance]; kept, do not write to them."""
        return sum((self._integrate(part) for part in self._parts(light)), np.zeros((len(self._rig), 3)))

    def lost_share(self, light: Light) -> np.ndarray:
        """Share of the light's power that no cell covers, shape (3,), 0 to 1; 0 without a limiting angle."""
        if self._max_angle_deg is None:
            return np.zeros(3)
        power = sum((part.power for part in self._parts(light)), np.zeros(3))
        if self._subject_m is not None:
            # Near-field weights make up for distances; how much is covered is a matter of directions alone.
            covered = sum(self._integrate(part, near=False).sum(axis=0) for part in self._parts(light))
        else:
            covered = self.weights(light).sum(axis=0)
        return np.where(power > 0, 1 - covered / np.where(power > 0, power, 1), 0).clip(0, 1)

    def mean_luminance(self, light: Light) -> float:
        """Luminance averaged over the sphere."""
        maps = sum(f * self._forms(name).mean_luminance for name, f in self._factors(light))
        return maps + sum(float(luminance(np.array(lamp.power))) for lamp in light.lamps) / (4 * np.pi)

    def small_map(self, light: Light) -> EnvironmentMap:
        """The light as a map of 128x256, for lighting balls."""
        radiance = paint_lamps(light.lamps, SMALL, 2 * SMALL)
        for name, factor in self._factors(light):
            radiance = radiance + np.float32(factor) * self._forms(name).small.rotate(*light.rotation_deg).radiance
        return EnvironmentMap(radiance, "light")

    def view(self, light: Light, directions: np.ndarray, pixel_rad: float) -> np.ndarray:
        """Radiance in directions (H, W, 3) that are ``pixel_rad`` apart, shape (H, W, 3), float32."""
        lamps = EnvironmentMap(paint_lamps(light.lamps, LAMPS, 2 * LAMPS))
        seen = lamps.look_up(directions) if light.lamps else np.zeros(directions.shape, np.float32)
        # The turned map in a direction is the map in the direction turned back.
        back = directions @ rotation_matrix(*light.rotation_deg)
        for name, factor in self._factors(light):
            seen = seen + np.float32(factor) * self._sharp(name, int(np.ceil(np.pi / pixel_rad))).look_up(back)
        return seen

    def _factors(self, light: Light) -> list[tuple[str, float]]:
        """Factor on the stored radiance of every map."""
        return [
            (share.name, share.factor / (self._forms(share.name).mean_luminance if share.normalized else 1.0))
            for share in light.maps
        ]

    def _parts(self, light: Light) -> list[EnvironmentMap]:
        """Maps that add up to the light, in the form that weights are integrated from."""
        parts = [self._turn(name, light.rotation_deg, factor) for name, factor in self._factors(light)]
        if light.lamps or not parts:
            parts.append(EnvironmentMap(paint_lamps(light.lamps, LAMPS, 2 * LAMPS), "lamps"))
        if self._lighting == "16x16":
            return [part.downsample(FORM, FORM) for part in parts]
        return parts

    def _turn(self, name: str, rotation_deg: tuple[float, float, float], factor: float) -> EnvironmentMap:
        """A map times a factor, turned, at full resolution or, where that is the same, with 16 rows."""
        yaw, pitch, roll = rotation_deg
        level = not (pitch % 360 or roll % 360)
        source = self._forms(name).bands if self._lighting == "16x16" and level else self._map(name)
        turned = source.rotate(*rotation_deg) if yaw % 360 or not level else source
        return turned if factor == 1 else EnvironmentMap(turned.radiance * np.float32(factor), name)

    def _integrate(self, part: EnvironmentMap, *, near: bool = True) -> np.ndarray:
        return light_weights(
            part, self._rig, method=self._method, max_angle_deg=self._max_angle_deg,
            subject_m=self._subject_m if near else None,
        )


def _reduce(environment: EnvironmentMap) -> MapForms:
    """The forms of a map that are kept when the map itself is dropped."""
    edges = [np.cos(np.pi * np.arange(n + 1) / n) for n in (environment.shape[0], FORM)]
    bands = np.tensordot(overlap_matrix(*edges), environment.radiance, axes=1)
    small = environment.downsample(SMALL, 2 * SMALL)
    return MapForms(EnvironmentMap(bands, environment.name), small, environment.mean_luminance)


def _limit(environment: EnvironmentMap, rows: int) -> EnvironmentMap:
    """The map averaged down to about ``rows``, so that looking it up at wider steps misses no sun."""
    if environment.shape[0] < 2 * rows:
        return environment
    return environment.downsample(rows, 2 * rows)
