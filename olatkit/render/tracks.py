"""Light tracks: light that changes in time, written down as key frames of maps, rotations and lamps.

Every list of keys holds values at times in seconds. A value that a key leaves out is that of the key before. Between
two keys light is mixed linearly and angles are turned linearly, as numbers: from 0 to 360 is a full turn. Before the
first key and after the last one nothing changes; two keys at one time are a cut.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from olatkit.color import decode_srgb
from olatkit.render.lights import Color, Lamp, Light, MapShare


def parse_color(value: object) -> object:
    """'#rrggbb' as three linear numbers; three numbers pass as they are, linear."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ValueError(f"{value!r} is no colour, expected '#rrggbb' (sRGB) or three linear numbers")
    codes = [int(value[i : i + 2], 16) for i in (1, 3, 5)]
    return tuple(float(x) for x in decode_srgb(np.array(codes) / 255))


_Light = Annotated[float, Field(ge=0)]
_Colour = Annotated[tuple[_Light, _Light, _Light], BeforeValidator(parse_color)]


class _Strict(BaseModel):
    """Unknown words, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Key(_Strict):
    """Values at a time."""

    at_s: float = Field(0.0, ge=0)


class MapKey(_Key):
    """A map at a time: scaled to mean luminance ``luminance``, or, if ``gain`` is given, its own radiance times it."""

    map: str
    luminance: float = Field(1.0, ge=0)
    gain: float | None = Field(None, ge=0)

    @property
    def share(self) -> MapShare:
        """The map's part in the light at this key."""
        if self.gain is not None:
            return MapShare(self.map, self.gain)
        return MapShare(self.map, self.luminance, normalized=True)


class RotationKey(_Key):
    """How all maps are turned at a time [deg], as in ``EnvironmentMap.rotate``."""

    yaw_deg: float | None = None
    pitch_deg: float | None = None
    roll_deg: float | None = None


class LampKey(_Key):
    """A lamp at a time.

    ``intensity`` times ``color`` (linear) is the mean over the sphere of the light that it sends: intensity 1 in white
    has the power of a map of mean luminance 1.
    """

    yaw_deg: float | None = None
    elevation_deg: float | None = Field(None, ge=-90, le=90)
    size_deg: float | None = Field(None, ge=0, le=360)
    color: _Colour | None = None
    intensity: float | None = Field(None, ge=0)


class LampTrack(_Strict):
    """One lamp: a name for people, and its keys."""

    name: str = ""
    keys: tuple[LampKey, ...] = Field(min_length=1)


class LightTrack(_Strict):
    """Light that changes in time.

    Parameters
    ----------
    duration_s : float, optional
        Length; by default up to the last key.
    maps : tuple of MapKey
        Cross-faded from key to key.
    rotation : tuple of RotationKey
        Of all maps together; lamps are not turned.
    lamps : tuple of LampTrack
        They add to the maps.
    reference_luminance : float, optional
        Mean luminance of light that PNG and videos show at the take's normal exposure; by default the mean over the
        track.
    """

    duration_s: float | None = Field(None, gt=0)
    maps: tuple[MapKey, ...] = ()
    rotation: tuple[RotationKey, ...] = ()
    lamps: tuple[LampTrack, ...] = ()
    reference_luminance: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> "LightTrack":
        if not self.maps and not self.lamps:
            raise ValueError("a track needs maps or lamps, it has neither")
        lists: dict[str, Sequence[_Key]] = {"maps": self.maps, "rotation": self.rotation}
        lists |= {f"lamps.{i} ({lamp.name})": lamp.keys for i, lamp in enumerate(self.lamps)}
        for name, keys in lists.items():
            times = [key.at_s for key in keys]
            for before, after in pairwise(times):
                if after < before:
                    raise ValueError(f"{name}: a key at {after:g} s stands after one at {before:g} s; sort them")
        return self

    @property
    def length_s(self) -> float:
        """Length in seconds; 0 for a track whose keys are all at 0."""
        times = [key.at_s for key in (*self.maps, *self.rotation)]
        times += [key.at_s for lamp in self.lamps for key in lamp.keys]
        return self.duration_s if self.duration_s is not None else max(times)

    @property
    def map_names(self) -> tuple[str, ...]:
        """Maps as named in the keys, each once."""
        return tuple(dict.fromkeys(key.map for key in self.maps))

    def at(self, time_s: float) -> Light:
        """The light at a time."""
        yaw, pitch, roll = (_angle(self.rotation, name, time_s) for name in ("yaw_deg", "pitch_deg", "roll_deg"))
        return Light(_mix_maps(self.maps, time_s), (yaw, pitch, roll), tuple(_lamp(t.keys, time_s) for t in self.lamps))


def _neighbours(keys: Sequence[_Key], time_s: float) -> tuple[int, int, float]:
    """Indices of the keys around a time, and how far it is from the first to the second, 0 to 1."""
    after = int(np.searchsorted([key.at_s for key in keys], time_s, side="right"))
    if after in (0, len(keys)):
        index = min(after, len(keys) - 1)
        return index, index, 0.0
    start, stop = keys[after - 1].at_s, keys[after].at_s
    return after - 1, after, (time_s - start) / (stop - start)


def _mix_maps(keys: Sequence[MapKey], time_s: float) -> tuple[MapShare, ...]:
    """Linear cross-fade of the two maps around a time."""
    if not keys:
        return ()
    first, second, way = _neighbours(keys, time_s)
    mixed: dict[tuple[str, bool], float] = {}
    for share, part in ((keys[first].share, 1 - way), (keys[second].share, way)):
        key = (share.name, share.normalized)
        mixed[key] = mixed.get(key, 0.0) + part * share.factor
    return tuple(MapShare(name, factor, normalized) for (name, normalized), factor in mixed.items() if factor)


def _filled(keys: Sequence[_Key], name: str, default: float | Color) -> list[Any]:
    """A property at every key, carried on from key to key."""
    values: list[Any] = []
    for key in keys:
        given = getattr(key, name)
        values.append(given if given is not None else values[-1] if values else default)
    return values


def _angle(keys: Sequence[_Key], name: str, time_s: float, default: float = 0.0) -> float:
    """An angle (or a size) at a time, turned linearly from key to key."""
    if not keys:
        return default
    first, second, way = _neighbours(keys, time_s)
    values = _filled(keys, name, default)
    return float((1 - way) * values[first] + way * values[second])


def _lamp(keys: Sequence[LampKey], time_s: float) -> Lamp:
    """A lamp at a time; its light, colour times intensity, is what changes linearly."""
    first, second, way = _neighbours(keys, time_s)
    colors, intensities = _filled(keys, "color", (1.0, 1.0, 1.0)), _filled(keys, "intensity", 1.0)
    sent = [4 * np.pi * intensities[i] * np.array(colors[i]) for i in (first, second)]
    red, green, blue = (1 - way) * sent[0] + way * sent[1]
    angles = {"yaw_deg": 0.0, "elevation_deg": 0.0, "size_deg": 20.0}
    yaw, elevation, size = (_angle(keys, name, time_s, default) for name, default in angles.items())
    return Lamp(yaw, elevation, size, (float(red), float(green), float(blue)))
