"""The manifest of an import: one YAML file that says what a folder of photographs is; nothing about it is guessed."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from olatkit.errors import ConfigError, FormatError
from olatkit.io.light_lists import parse_axes
from olatkit.io.transfer import parse_transfer
from olatkit.io.yaml_files import read_yaml
from olatkit.wording import called, counted

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
NAMES = "names"  # the light's direction stands in the name of its picture


def _axes(text: str) -> str:
    parse_axes(text)
    return text


def _bayer(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class Pictures(BaseModel):
    """Which files are photographs under one light, and what their values mean."""

    model_config = _STRICT

    files: str = Field(
        description="names of the pictures with one light each, such as '*.png', 'light_{id}.tif' or "
        "'Monkey_{x}_{y}.png'; {id} is a light's number, {x} {y} {z} its place, {azimuth} {elevation} degrees from the "
        "z axis towards x and from there towards y, {theta} {phi} degrees from the z axis and around it from x to y"
    )
    transfer: Annotated[str | float, AfterValidator(parse_transfer)] = Field(
        description="curve of the values: linear (raw conversions, EXR), srgb (most PNG and JPEG), rec709, or a gamma "
        "such as 2.2"
    )
    black_level: float | Literal["file"] = Field(
        description="value without light, 0 for srgb and EXR; 'file' takes it from camera raw files"
    )
    white_level: float | Literal["file"] = Field(
        description="value that becomes 1.0, such as 255, 65535, 1 for EXR; 'file' takes it from camera raw files"
    )
    bayer: Annotated[Literal["gbrg", "rggb", "grbg", "bggr", "file"] | None, BeforeValidator(_bayer)] = Field(
        None, description="pattern of the top-left 2x2 pixels of mosaics: gbrg, rggb, grbg, bggr; 'file' for camera raw"
    )
    ambient: str | None = Field(
        None, description="picture with all lights off; it is subtracted: room light and the camera's dark signal"
    )
    mask: str | None = Field(None, description="picture that is bright on the subject; the rest is not stored")
    crop: tuple[int, int, int, int] | None = Field(None, description="x, y, width, height in pixels of the pictures")
    scale: float = Field(1.0, gt=0, le=1, description="size of the take relative to the pictures; averages pixels")
    color: str | None = Field(
        None, description="JSON file with the 3x3 matrix from camera colours to Rec.709, as 'calibrate color' writes it"
    )


class Lights(BaseModel):
    """Where the lights stand, in which axes, and which picture belongs to which light."""

    model_config = _STRICT

    source: str = Field(
        description=f"'{NAMES}' if the name of every picture says where its light stands, or a list: .lp, .csv, .json"
    )
    axes: Annotated[str, AfterValidator(_axes)] = Field(
        description="where the axes of these numbers point, seen from the camera: x-right,y-up,z-to-camera for RTI; "
        "the words are right, left, up, down, to-camera, from-camera"
    )
    unit: Literal["direction", "m", "cm", "mm"] = Field(
        description="direction if only directions are known, or the unit of positions: m, cm, mm"
    )
    order: Literal["names", "listed", "numbered", "id"] = Field(
        description="which picture belongs to which light: names (sources 'names': lights are numbered in the order of "
        "the names), listed (the list names the files), numbered (the n-th picture, by the last number in its name, is "
        "the n-th light), id ({id} in 'files', counted from 0 as in the list)"
    )
    gains: Literal["equal", "distance", "list"] = Field(
        description="how bright the lights are at the subject, divided out once now: equal (or already divided out), "
        "distance (equal lamps, whose light falls with the square of the distance), or list (gr,gg,gb of the list)"
    )
    z: float | Literal["unit"] | None = Field(
        None, description="third coordinate where names have {x} and {y} only: a number, or unit for vectors of length 1"
    )
    origin: tuple[float, float, float] = Field((0, 0, 0), description="place of the subject in the list's axes and unit")
    dead: tuple[int, ...] = Field((), description="numbers of listed lights that have no picture")


class Manifest(BaseModel):
    """What a folder of photographs is."""

    model_config = _STRICT

    name: str = Field("", description="name of the rig; the folder's name if left out")
    pictures: Pictures
    lights: Lights


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a manifest.

    Raises
    ------
    ConfigError
        Not YAML, a key that is missing or unknown, or a value that does not fit; the line says what is possible.
    """
    path = Path(path)
    content = read_yaml(path, advice="; --write-manifest drafts one")
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds {called(content)}, expected the keys pictures and lights")
    try:
        manifest = Manifest.model_validate(_without_blanks(content))
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error)}") from error
    check_manifest(manifest, str(path))
    return manifest


def check_folder(folder: Path) -> Path:
    """The folder of photographs, if there is one; FormatError otherwise."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise FormatError(f"{folder}: {what}, expected a folder of photographs under one light each")
    return folder


def check_manifest(manifest: Manifest, source: str) -> None:
    """Refuse combinations of keys that contradict each other, ConfigError."""
    pictures, lights = manifest.pictures, manifest.lights
    placeholders = set(re.findall(r"{(\w+)}", pictures.files))
    known = {"id", "x", "y", "z", "azimuth", "elevation", "theta", "phi"}
    if placeholders - known:
        raise ConfigError(
            f"{source}: 'pictures.files' holds {{{min(placeholders - known)}}}, known are {', '.join(sorted(known))}"
        )
    if (lights.order == NAMES) != (lights.source == NAMES):
        raise ConfigError(
            f"{source}: 'lights.source' is '{lights.source}' and 'lights.order' is '{lights.order}'; "
            "'names' goes with 'names' only, lists with listed, numbered or id"
        )
    if lights.source == NAMES:
        _check_coordinates(placeholders, lights, source)
    if lights.order == "id" and "id" not in placeholders:
        raise ConfigError(f"{source}: 'lights.order' is id, but 'pictures.files' has no {{id}}")
    if lights.source == NAMES and lights.gains == "list":
        raise ConfigError(f"{source}: 'lights.gains' is list, but there is no list; write the lights into a .csv")
    if pictures.transfer != "linear" and (pictures.black_level not in (0, 0.0) or pictures.bayer):
        raise ConfigError(
            f"{source}: 'pictures.transfer' is {pictures.transfer}, but black levels and mosaics belong to linear pictures"
        )
    levels = (pictures.black_level, pictures.white_level)
    if not any(level == "file" for level in levels) and not float(levels[0]) < float(levels[1]):
        raise ConfigError(f"{source}: 'pictures.black_level' {levels[0]} is not below 'pictures.white_level' {levels[1]}")


def draft_manifest(folder: str | os.PathLike[str]) -> str:
    """A manifest to fill in: every key with its meaning, and what is seen in the folder as remarks.

    Keys that only the photographer knows are left empty, which an import refuses.
    """
    folder = check_folder(Path(folder))
    lines = [f"# Photographs of {folder.name}: fill in what is empty; keys behind '#' may stay as they are."]
    lines += [f"# {remark}" for remark in _remarks(folder)]
    for group in ("pictures", "lights"):
        model: Any = Manifest.model_fields[group].annotation
        lines += ["", f"{group}:"]
        for key, field in model.model_fields.items():
            lines += [f"  # {line}" for line in _wrap(field.description)]
            value = "" if field.is_required() or field.default is None else _plain_value(field.default)
            lines.append(f"  {key}:" if field.is_required() else f"  # {key}: {value}".rstrip())
    return "\n".join(lines) + "\n"


def _check_coordinates(placeholders: set[str], lights: Lights, source: str) -> None:
    """Names must say a direction completely."""
    for complete in ({"x", "y", "z"}, {"azimuth", "elevation"}, {"theta", "phi"}):
        if complete <= placeholders:
            return
    if not {"x", "y"} <= placeholders:
        raise ConfigError(
            f"{source}: 'pictures.files' must hold {{x}} and {{y}}, {{azimuth}} and {{elevation}}, or {{theta}} and "
            "{phi}, for 'lights.source' is names"
        )
    if lights.z is None:
        raise ConfigError(
            f"{source}: key 'lights.z' is missing: {Lights.model_fields['z'].description}"
        )


def _without_blanks(content: dict[str, Any]) -> dict[str, Any]:
    """Empty keys count as missing, so that a draft is refused key by key."""
    return {
        key: {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value
        for key, value in content.items()
        if value is not None
    }


def _explain(error: ValidationError) -> str:
    """The first problem in one line, with what is possible there."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"][:2])
    group: Any = Manifest
    for part in first["loc"][:1] if len(first["loc"]) > 1 else ():
        group = Manifest.model_fields[str(part)].annotation if str(part) in Manifest.model_fields else Manifest
    if first["type"] == "extra_forbidden":
        return f"key '{key}' is unknown, expected one of {', '.join(group.model_fields)}"
    field = group.model_fields.get(str(first["loc"][min(1, len(first["loc"]) - 1)]))
    meaning = field.description if field is not None and field.description else "a group of keys; see --write-manifest"
    if first["type"] == "missing":
        return f"key '{key}' is missing: {meaning}"
    value, name = repr(first.get("input")), str(first["loc"][-1])
    problem = first["msg"].removeprefix("Value error, ")
    for said in (f"{name} is {value}, ", f"{name} {value}: "):  # by the line's beginning
        problem = problem.removeprefix(said)
    return f"key '{key}' is {value}: {problem}; it means: {meaning}"


def _remarks(folder: Path) -> list[str]:
    """What lies in the folder: kinds of files, the first picture, lists of lights."""
    from olatkit.io.photographs import SUFFIXES, peek_photograph

    files = sorted(item for item in folder.iterdir() if item.is_file()) if folder.is_dir() else []
    kinds = {suffix: sum(item.suffix.lower() == suffix for item in files) for suffix in SUFFIXES}
    remarks = [f"{counted(count, 'file')} *{suffix}" for suffix, count in kinds.items() if count]
    pictures = [item for item in files if item.suffix.lower() in SUFFIXES]
    if pictures:
        remarks.append(f"{pictures[0].name}: {peek_photograph(pictures[0])}")
    lists = [item.name for item in files if item.suffix.lower() in (".lp", ".csv", ".json")]
    return [*remarks, *(f"{name}: perhaps a list of lights" for name in lists)] or ["no pictures seen"]


def _plain_value(value: Any) -> str:
    return "[" + ", ".join(f"{v:g}" for v in value) + "]" if isinstance(value, tuple) else str(value)


def _wrap(text: str | None, width: int = 112) -> list[str]:
    import textwrap

    return textwrap.wrap(text or "", width)
