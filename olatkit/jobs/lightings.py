"""What light a rendering has: standing maps, maps picture by picture, and light tracks, with their files."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from pydantic import ValidationError

from olatkit.envmap import EnvironmentMap
from olatkit.errors import ConfigError
from olatkit.io.yaml_files import read_yaml
from olatkit.render.lights import Light, MapShare
from olatkit.render.mixer import MapMixer
from olatkit.render.tracks import LightTrack
from olatkit.wording import called

# Maps or instants whose mean luminance stands for all of a sequence or track.
SAMPLES = 16


@dataclass(frozen=True)
class MapSource:
    """A map that is read when it is needed.

    Parameters
    ----------
    name : str
        For file names and messages.
    load : callable
        Gives the map.
    stamp : str
        Changes when the map does, so that parts of another rendering are not taken for this one's.
    """

    name: str
    load: Callable[[], EnvironmentMap]
    stamp: str

    @classmethod
    def of(cls, environment: EnvironmentMap) -> "MapSource":
        """A map that is already in memory."""
        return cls(environment.name, lambda: environment, hashlib.sha256(environment.radiance.tobytes()).hexdigest())


class Lighting(Protocol):
    """Light for a number of pictures."""

    @property
    def name(self) -> str: ...

    @property
    def sources(self) -> tuple[MapSource, ...]: ...

    def pictures(self, fps: float) -> int:
        """Pictures that the lighting asks for; 1 if it stands still."""

    def at(self, picture: int, fps: float) -> Light:
        """The light of a picture; map names are ``key(i)`` of its sources."""

    def reference_luminance(self, mixer: MapMixer, fps: float) -> float:
        """Mean luminance of light that displays show at the take's normal exposure."""


def map_key(lighting: str, index: int) -> str:
    """Name under which a lighting's map is asked for."""
    return f"{lighting}/{index}"


@dataclass(frozen=True)
class StandingMap:
    """One map for all pictures."""

    name: str
    source: MapSource

    @property
    def sources(self) -> tuple[MapSource, ...]:
        return (self.source,)

    def pictures(self, fps: float) -> int:
        return 1

    def at(self, picture: int, fps: float) -> Light:
        return Light((MapShare(map_key(self.name, 0)),))

    def reference_luminance(self, mixer: MapMixer, fps: float) -> float:
        return mixer.mean_luminance(self.at(0, fps))


@dataclass(frozen=True)
class MapSequence:
    """Map k for picture k."""

    name: str
    sources: tuple[MapSource, ...]

    def pictures(self, fps: float) -> int:
        return len(self.sources)

    def at(self, picture: int, fps: float) -> Light:
        return Light((MapShare(map_key(self.name, picture)),))

    def reference_luminance(self, mixer: MapMixer, fps: float) -> float:
        """Mean over some maps of the sequence: one exposure for all of them, so that nothing flickers."""
        return float(np.mean([mixer.mean_luminance(self.at(k, fps)) for k in _spread(len(self.sources))]))


@dataclass(frozen=True)
class TrackLighting:
    """A light track, its pictures evenly spaced in time."""

    name: str
    track: LightTrack
    sources: tuple[MapSource, ...]

    def pictures(self, fps: float) -> int:
        return max(1, round(self.track.length_s * fps))

    def at(self, picture: int, fps: float) -> Light:
        light = self.track.at(picture / fps)
        keys = {name: map_key(self.name, i) for i, name in enumerate(self.track.map_names)}
        maps = tuple(MapShare(keys[share.name], share.factor, share.normalized) for share in light.maps)
        return Light(maps, light.rotation_deg, light.lamps)

    def reference_luminance(self, mixer: MapMixer, fps: float) -> float:
        if self.track.reference_luminance is not None:
            return self.track.reference_luminance
        return float(np.mean([mixer.mean_luminance(self.at(k, fps)) for k in _spread(self.pictures(fps))]))


def _spread(count: int) -> list[int]:
    """At most ``SAMPLES`` indices, evenly spread over a range."""
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLES)).round().astype(int)).tolist()


def standing_maps(sources: Sequence[MapSource]) -> list[Lighting]:
    """One lighting per map; maps of equal names get a number."""
    return [StandingMap(name, source) for name, source in zip(unique_names(sources), sources, strict=True)]


def unique_names(sources: Sequence[MapSource | Lighting]) -> list[str]:
    """File-name stems; equal names get a number."""
    names: list[str] = []
    for source in sources:
        plain = source.name.replace("/", "_").replace("\\", "_")
        name, number = plain, 2
        while name in names:
            name, number = f"{plain}-{number}", number + 1
        names.append(name)
    return names


def read_track(path: Path, open_map: Callable[[Path], MapSource]) -> TrackLighting:
    """Read a light track from YAML; its maps are looked for beside it.

    Raises
    ------
    ConfigError
        Not YAML, an unknown or wrong key, or a map that is not there; one line that names the key.
    """
    document = read_yaml(path)
    if not isinstance(document, dict):
        found = "is empty" if document is None else f"holds {called(document)}"
        raise ConfigError(f"{path}: {found}, expected a light track with the keys {', '.join(LightTrack.model_fields)}")
    try:
        track = LightTrack.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_problem(error)}") from error
    sources = []
    for name in track.map_names:
        place = path.parent / name
        if not place.is_file():
            raise ConfigError(
                f"{path}: map '{name}' is not there; it is looked for from the folder of the track, {path.parent.resolve()}"
            )
        sources.append(open_map(place))
    return TrackLighting(path.stem, track, tuple(sources))


def _first_problem(error: ValidationError) -> str:
    """The first problem of a validation in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key '{where}'; the keys are explained in docs/rendering.md"
    value = "" if first["type"] in ("missing", "value_error") else f" is {first.get('input')!r}"
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "model_type":  # which names a class of ours
        text = "expected keys and values"
    return f"'{where}'{value}: {text}" if where else text
