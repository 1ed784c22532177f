"""The plan of a rendering: every picture, the light in it, and the file it goes to."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from olatkit.envmap import EnvironmentMap
from olatkit.errors import ConfigError

SUFFIXES = (".png", ".exr", ".mp4")


class RenderConfig(BaseModel):
    """What to render.

    Parameters
    ----------
    imageset : int or "all"
        Index of one imageset, or the whole take.
    turntable : int
        Pictures per turn of the light; 0 leaves it standing. With "all" the light turns while the take plays.
    yaw_deg : float
        First turn of the light, +90 from the camera's side to the picture's right.
    lighting : {"16x16", "full"}
        Average the map over 16 x 16 cells first, the form that networks are trained with, or integrate all of it.
    exposure_stops : float
        Factors of two on top of the display exposure (PNG, MP4) or of the linear values (EXR).
    formats : tuple of {"png", "exr", "mp4"}
        Empty: png for one picture, mp4 for more.
    fps : float
        Frames per second of videos.
    max_angle_deg : float, optional
        End every light's cell at this angle, for partial domes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    imageset: int | Literal["all"] = 0
    turntable: int = Field(0, ge=0)
    yaw_deg: float = 0.0
    lighting: Literal["16x16", "full"] = "16x16"
    exposure_stops: float = Field(0.0, ge=-64, le=64)
    formats: tuple[Literal["png", "exr", "mp4"], ...] = ()
    fps: float = Field(25.0, gt=0)
    max_angle_deg: float | None = Field(None, gt=0, le=180)


@dataclass(frozen=True)
class Shot:
    """One picture to make: which imageset, which map, how far it is turned [deg], and where the picture goes."""

    imageset: int
    environment: int
    yaw_deg: float
    stills: tuple[Path, ...]
    video: Path | None


def plan_shots(count: int, names: Sequence[str], out: Path, config: RenderConfig) -> list[Shot]:
    """All pictures in the order of work, imageset by imageset, with the files they go to.

    In a folder: ``MAP_IIII.png`` for imageset IIII, ``MAP_IIII_KKKK.png`` for picture KKKK of a turntable,
    ``MAP_IIII.mp4`` for a turntable and ``MAP.mp4`` for a moving take.
    """
    if config.imageset != "all" and not 0 <= config.imageset < count:
        raise ConfigError(f"imageset {config.imageset} is not in the take, expected 0 ... {count - 1} or 'all'")
    moving, turning = config.imageset == "all", config.turntable > 0
    imagesets = range(count) if config.imageset == "all" else [config.imageset]
    turns = config.turntable if turning and not moving else 1
    formats = _formats(out, config, several=len(imagesets) * turns > 1)
    files = len(names) * (1 if formats == ("mp4",) else len(imagesets) * turns)
    one_file = out.suffix.lower() in SUFFIXES
    if one_file and files > 1:
        raise ConfigError(f"{out} is one file, but {files} are to be written; name a folder")
    shots = []
    for imageset, (environment, name), k in product(imagesets, enumerate(names), range(turns)):
        step = imageset if moving else k
        yaw_deg = config.yaw_deg + (360.0 * step / config.turntable if turning else 0.0)
        stem = f"{name}_{imageset:04d}" + (f"_{k:04d}" if turns > 1 else "")
        film = f"{name}.mp4" if moving else f"{name}_{imageset:04d}.mp4"
        stills = tuple(out if one_file else out / f"{stem}.{suffix}" for suffix in formats if suffix != "mp4")
        video = (out if one_file else out / film) if "mp4" in formats else None
        shots.append(Shot(imageset, environment, yaw_deg, stills, video))
    return shots


def _formats(out: Path, config: RenderConfig, *, several: bool) -> tuple[str, ...]:
    """Formats to write: the suffix of one file, those asked for, or png for single pictures and mp4 for several."""
    if out.suffix.lower() not in SUFFIXES:
        return tuple(dict.fromkeys(config.formats)) or ("mp4" if several else "png",)
    suffix = out.suffix.lower()[1:]
    if config.formats and set(config.formats) != {suffix}:
        asked = ", ".join(config.formats)
        raise ConfigError(f"{out} is one {suffix} file, but {asked} is asked for; name a folder")
    return (suffix,)


def unique_names(environments: Sequence[EnvironmentMap]) -> list[str]:
    """File-name stems of the maps; equal names get a number."""
    if not environments:
        raise ConfigError("no environment map to render with")
    names: list[str] = []
    for environment in environments:
        name = environment.name.replace(os.sep, "_")
        number = 2
        while name in names:
            name, number = f"{environment.name}-{number}", number + 1
        names.append(name)
    return names
