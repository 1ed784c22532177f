"""The plan of a rendering: every picture, the light in it, and the file it goes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from olatkit.errors import ConfigError
from olatkit.jobs.lightings import Lighting, MapSequence
from olatkit.wording import counted

Format = Literal["png", "png16", "exr", "mp4", "prores", "ffv1"]
# Suffix of every format, and the codec of those that are videos.
SUFFIXES = {"png": ".png", "png16": ".png", "exr": ".exr", "mp4": ".mp4", "prores": ".mov", "ffv1": ".mkv"}
VIDEOS = {"mp4": "h264", "prores": "prores", "ffv1": "ffv1"}
# Names that can only be meant as a file of a kind that is not written.
OTHER_FILES = (
    ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".hdr", ".avi", ".webm", ".m4v", ".mpg", ".mpeg",
    ".h5", ".yaml", ".json", ".dng", ".heic", ".avif", ".jxl", ".dpx",
)
# Pictures after which a video's part is closed: what a killed run may lose.
SEGMENT = 50


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
    method : str
        How light is shared among the lamps, see ``light_weights``.
    max_angle_deg : float, optional
        End every light's cell at this angle, for partial domes.
    subject_m : tuple of 3 floats, optional
        Where the subject is, for lights that are near.
    exposure_stops : float
        Factors of two on top of the display exposure, or of the linear values in EXR.
    transfer : {"srgb", "linear"}
        Curve of the codes in PNG and videos.
    formats : tuple of {"png", "png16", "exr", "mp4", "prores", "ffv1"}
        Empty: png for one picture, mp4 for more.
    fps : float
        Frames per second of videos and light tracks.
    half : bool
        EXR with 16-bit floats.
    multipart : bool
        One EXR per imageset, with a part per picture of it.
    background : str, optional
        A colour such as "#406080", "map" for the map itself, or the path of a picture.
    fov_deg : float
        Horizontal field of view of the camera, for the background "map".
    matte : str, optional
        A picture, or a folder of one per imageset, of where the subject is; found in the take if None.
    ball : bool
        Show mirror and diffuse ball beside the picture.
    device : str
        "cpu", or a torch device.
    precision : {"float32", "bfloat16"}
        Of the products of weights and images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    imageset: int | Literal["all"] = 0
    turntable: int = Field(0, ge=0)
    yaw_deg: float = 0.0
    lighting: Literal["16x16", "full"] = "16x16"
    method: str = "voronoi"
    max_angle_deg: float | None = Field(None, gt=0, le=180)
    subject_m: tuple[float, float, float] | None = None
    exposure_stops: float = Field(0.0, ge=-64, le=64)
    transfer: Literal["srgb", "linear"] = "srgb"
    formats: tuple[Format, ...] = ()
    fps: float = Field(25.0, gt=0)
    half: bool = False
    multipart: bool = False
    background: str | None = None
    fov_deg: float = Field(30.0, gt=0, lt=180)
    matte: str | None = None
    ball: bool = False
    device: str = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"


@dataclass(frozen=True)
class Still:
    """A file of one picture, or a part of a file."""

    path: Path
    kind: Literal["png", "png16", "exr"]
    part: str = ""


@dataclass(frozen=True)
class Shot:
    """One picture to make.

    Parameters
    ----------
    imageset : int
        Index in the take.
    lighting, picture : int
        Which lighting, and which picture of it.
    yaw_deg : float
        How far its light is turned.
    stills : tuple of Still
    videos : tuple of (Path, str)
        Videos that the picture is a frame of, with their formats.
    moving : bool
        Whether it is one of several: light that moves, or a whole take.
    """

    imageset: int
    lighting: int
    picture: int
    yaw_deg: float
    stills: tuple[Still, ...]
    videos: tuple[tuple[Path, str], ...]
    moving: bool = False


def plan_shots(count: int, lightings: Sequence[Lighting], out: Path, config: RenderConfig) -> list[list[Shot]]:
    """All pictures, in the order of work, as chunks that are finished or redone as a whole.

    A chunk holds at most ``SEGMENT`` frames of every video that it has frames of. In a folder: ``NAME_IIII.png`` for
    imageset IIII, ``NAME_IIII_KKKK.png`` for picture KKKK of a moving light, ``NAME_IIII.mp4`` for its film and
    ``NAME.mp4`` for a moving take.
    """
    if not lightings:
        raise ConfigError("no environment map to render with")
    if config.imageset != "all" and not 0 <= config.imageset < count:
        raise ConfigError(f"imageset {config.imageset} is not in the take, expected 0 ... {count - 1} or 'all'")
    lengths = [_length(count, lighting, config) for lighting in lightings]
    whole_take = config.imageset == "all"
    formats = _formats(out, config, several=max(lengths) > 1)
    one_file = out.suffix.lower() in SUFFIXES.values() and not out.is_dir()
    files = _count_files(count if whole_take else 1, lengths, formats, config, whole_take)
    if one_file and files > 1:
        raise ConfigError(f"{out} is one file, but {files} are to be written; name a folder")
    names = _Names(out if one_file else None, out, formats, config, whole_take)
    if whole_take:
        shots = [_shot(i, k, i, lightings[k], config, names, 1) for i, k in product(range(count), range(len(lightings)))]
        size = SEGMENT * len(lightings)
        return [shots[start : start + size] for start in range(0, len(shots), size)]
    assert config.imageset != "all"
    if config.multipart:
        return [[
            _shot(config.imageset, k, picture, lighting, config, names, length)
            for k, (lighting, length) in enumerate(zip(lightings, lengths, strict=True)) for picture in range(length)
        ]]
    chunks = []
    for k, (lighting, length) in enumerate(zip(lightings, lengths, strict=True)):
        for start in range(0, length, SEGMENT):
            pictures = range(start, min(start + SEGMENT, length))
            chunks.append([_shot(config.imageset, k, p, lighting, config, names, length) for p in pictures])
    return chunks


def _length(count: int, lighting: Lighting, config: RenderConfig) -> int:
    """Pictures of a lighting: those of the take, of the light, or of one turn."""
    own = lighting.pictures(config.fps)
    if config.imageset != "all":
        return own if own > 1 else max(config.turntable, 1)
    if isinstance(lighting, MapSequence) and own != count:
        more = f" and {own - 1} more" if own > 1 and lighting.name == lighting.sources[0].name else ""
        raise ConfigError(
            f"the take has {counted(count, 'imageset')}, the sequence of '{lighting.name}'{more} has {counted(own, 'map')}, "
            "expected one each; a light track fades between maps at given times"
        )
    return count


@dataclass(frozen=True)
class _Names:
    """Where pictures go."""

    file: Path | None
    folder: Path
    formats: tuple[str, ...]
    config: RenderConfig
    whole_take: bool

    def stills(self, name: str, imageset: int, suffix: str) -> tuple[Still, ...]:
        found = []
        for kind in self.formats:
            if kind in VIDEOS:
                continue
            stem = f"{name}_{imageset:04d}{suffix}"
            if kind == "exr" and self.config.multipart:
                path = self.file or self.folder / f"imageset_{imageset:04d}.exr"
                found.append(Still(path, "exr", name + suffix))
            else:
                found.append(Still(self.file or self.folder / (stem + SUFFIXES[kind]), kind))  # type: ignore[arg-type]
        return tuple(found)

    def videos(self, name: str, imageset: int) -> tuple[tuple[Path, str], ...]:
        stem = name if self.whole_take else f"{name}_{imageset:04d}"
        return tuple(
            (self.file or self.folder / (stem + SUFFIXES[kind]), kind) for kind in self.formats if kind in VIDEOS
        )


def _shot(
    imageset: int, index: int, picture: int, lighting: Lighting, config: RenderConfig, names: _Names, length: int
) -> Shot:
    """One picture with its turn and its files."""
    turn = 360.0 * picture / config.turntable if config.turntable else 0.0
    suffix = f"_{picture:04d}" if length > 1 else ""
    return Shot(
        imageset, index, picture, config.yaw_deg + turn, names.stills(lighting.name, imageset, suffix),
        names.videos(lighting.name, imageset), moving=length > 1 or config.imageset == "all",
    )


def _count_files(
    imagesets: int, lengths: Sequence[int], formats: Sequence[str], config: RenderConfig, whole_take: bool
) -> int:
    """Files that the formats come to."""
    stills = sum(lengths)
    each = {
        kind: len(lengths) if kind in VIDEOS else imagesets if kind == "exr" and config.multipart else stills
        for kind in formats
    }
    return sum(each.values())


def _formats(out: Path, config: RenderConfig, *, several: bool) -> tuple[str, ...]:
    """Formats to write: the suffix of one file, those asked for, or png for single pictures and mp4 for several."""
    asked = tuple(dict.fromkeys(config.formats))
    suffix = "" if out.is_dir() else out.suffix.lower()
    if suffix in OTHER_FILES:
        known = ", ".join(dict.fromkeys(SUFFIXES.values()))
        raise ConfigError(f"{out}: {suffix} is not written; end the name in one of {known}, or name a folder")
    if {"png", "png16"} <= set(asked):
        raise ConfigError("png and png16 would have the same names; ask for one of them")
    fitting = [kind for kind, end in SUFFIXES.items() if end == suffix]
    formats: tuple[str, ...]
    if not fitting:
        formats = asked or ("exr" if config.multipart else "mp4" if several else "png",)
    elif asked and not set(asked) <= set(fitting):
        raise ConfigError(f"{out} is one {suffix[1:]} file, but {', '.join(asked)} is asked for; name a folder")
    else:
        formats = asked or (fitting[0],)
    for option, wanted in (("multipart", config.multipart), ("half", config.half)):
        if wanted and "exr" not in formats:
            raise ConfigError(f"--{option} is for EXR, but {', '.join(formats)} is to be written; add --format exr")
    return formats
