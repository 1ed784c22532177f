"""Which photograph belongs to which light: from names, lists, numbers and ids, as a manifest says."""

import re
from pathlib import Path

import numpy as np

from olatkit.errors import CaptureError, ConfigError
from olatkit.io.light_lists import LightList, make_rig, read_light_list
from olatkit.io.manifests import NAMES, Lights, Manifest, check_folder
from olatkit.rig import LightRig
from olatkit.wording import counted

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"


def find_pictures(folder: Path, manifest: Manifest) -> tuple[LightRig, tuple[Path | None, ...]]:
    """The rig of a folder of photographs, and the picture of every light.

    Parameters
    ----------
    folder : Path
        Where the pictures lie; a list of lights is looked for there too.
    manifest : Manifest

    Returns
    -------
    rig : LightRig
        In this package's axes; lights without picture are not enabled.
    pictures : tuple of Path or None
        One per light, None for a dead one.

    Raises
    ------
    CaptureError
        No picture, one without light or one light without picture, two pictures for one light.
    ConfigError, FormatError
        A list that is damaged or does not fit the manifest.
    """
    found = _matching(folder, manifest)
    lights = manifest.lights
    if lights.source == NAMES:
        listed, pictures = _from_names(found, lights)
    else:
        if not (folder / lights.source).exists():
            raise ConfigError(
                f"{folder / lights.source}: no such list of lights; the path in 'lights.source' counts from the folder of "
                "photographs"
            )
        listed = read_light_list(folder / lights.source)
        if lights.gains == "list" and not listed.has_gains:
            raise ConfigError(f"{folder / lights.source}: has no gains (gr,gg,gb), but 'lights.gains' is list")
        pictures = ORDERS[lights.order](found, listed, folder / lights.source, lights.dead)
    enabled = np.array([path is not None for path in pictures]) & listed.enabled
    listed = LightList(listed.vectors, listed.gains, enabled, axes=listed.axes, has_gains=listed.has_gains)
    rig = make_rig(
        manifest.name or folder.name, listed, axes=lights.axes, unit=lights.unit, origin=lights.origin,
        gains=lights.gains,
    )
    return rig, tuple(path if on else None for path, on in zip(pictures, enabled, strict=True))


def match_files(folder: Path, pattern: str) -> list[tuple[Path, dict[str, float]]]:
    """Files of a folder that fit a pattern with ``*`` and ``{name}`` for numbers, in natural order, with the numbers."""
    pieces = re.split(r"{(\w+)}", pattern)
    text = ""
    for i, piece in enumerate(pieces):
        text += f"(?P<{piece}>{_NUMBER})" if i % 2 else _plain_regex(piece)
    expression = re.compile(text)
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = expression.fullmatch(path.name)
        if match and path.is_file() and not path.name.startswith("."):
            found.append((path, {name: float(value) for name, value in match.groupdict().items()}))
    return sorted(found, key=lambda item: _natural(item[0].name))


def _matching(folder: Path, manifest: Manifest) -> list[tuple[Path, dict[str, float]]]:
    """The pictures with one light each; ambient picture and mask are none of them."""
    check_folder(folder)
    others = {manifest.pictures.ambient, manifest.pictures.mask}
    found = [item for item in match_files(folder, manifest.pictures.files) if item[0].name not in others]
    if not found:
        seen = sorted(path.name for path in folder.iterdir() if path.is_file())[:3]
        raise CaptureError(f"{folder}: no file fits '{manifest.pictures.files}'; it holds {', '.join(seen) or 'no files'}")
    return found


def _from_names(found: list[tuple[Path, dict[str, float]]], lights: Lights) -> tuple[LightList, list[Path | None]]:
    """Directions from the names; light 0 is the first name."""
    vectors = np.array([_vector(path, numbers, lights) for path, numbers in found])
    count = len(found)
    return LightList(vectors, np.ones((count, 3)), np.ones(count, bool)), [path for path, _ in found]


def _vector(path: Path, numbers: dict[str, float], lights: Lights) -> list[float]:
    """The place of a light, in the axes of the names."""
    if {"azimuth", "elevation"} <= numbers.keys():
        # From the z axis towards x, and from that plane towards y.
        azimuth, elevation = np.radians(numbers["azimuth"]), np.radians(numbers["elevation"])
        return [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)]
    if {"theta", "phi"} <= numbers.keys():
        theta, phi = np.radians(numbers["theta"]), np.radians(numbers["phi"])
        return [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]
    x, y = numbers["x"], numbers["y"]
    if "z" in numbers:
        return [x, y, numbers["z"]]
    if lights.z == "unit":
        if x * x + y * y > 1:
            raise ConfigError(f"{path}: x and y are {x:g} and {y:g}, beyond the unit circle, but 'lights.z' is unit")
        return [x, y, float(np.sqrt(1 - x * x - y * y))]
    return [x, y, float(lights.z)]  # type: ignore[arg-type]  # a manifest without z was refused


def _listed(
    found: list[tuple[Path, dict[str, float]]], lights: LightList, source: Path, dead: tuple[int, ...]
) -> list[Path | None]:
    """The list names the pictures; a name with another ending will do if there is only one."""
    if not lights.pictures:
        raise ConfigError(f"{source}: names no pictures, but 'lights.order' is listed; use numbered or id")
    by_name: dict[str, Path] = {path.name: path for path, _ in found}
    by_stem: dict[str, list[Path]] = {}
    for path, _ in found:
        by_stem.setdefault(path.stem, []).append(path)
    pictures: list[Path | None] = []
    for light, name in enumerate(lights.pictures):
        same = by_stem.get(Path(name).stem, [])
        picture = by_name.get(name) or (same[0] if len(same) == 1 else None)
        if picture is None and light not in dead and lights.enabled[light]:
            raise CaptureError(
                f"{source}: light {light} is in picture '{name}', which is not among the "
                f"{counted(len(found), 'picture')}; restore "
                "it, or add its number to 'lights.dead'"
            )
        if picture is not None and picture in pictures:
            raise CaptureError(
                f"{source}: lights {pictures.index(picture)} and {light} are both in picture '{picture.name}'"
            )
        pictures.append(picture)
    extra = [path.name for path, _ in found if path not in pictures]
    if extra:
        raise CaptureError(
            f"{source}: {counted(len(extra), 'picture')} not in the list, the first is '{extra[0]}'; complete the list or "
            "narrow 'pictures.files'"
        )
    return [None if light in dead else picture for light, picture in enumerate(pictures)]


def _numbered(
    found: list[tuple[Path, dict[str, float]]], lights: LightList, source: Path, dead: tuple[int, ...]
) -> list[Path | None]:
    """The n-th picture is the n-th light that is not dead."""
    numbers = []
    for path, _ in found:
        digits = re.findall(r"\d+", path.stem)
        if not digits:
            raise CaptureError(f"{path}: no number in the name, but 'lights.order' is numbered")
        numbers.append(int(digits[-1]))
    order = np.argsort(numbers, kind="stable")
    if len(set(numbers)) != len(numbers):
        twice = next(n for n in numbers if numbers.count(n) > 1)
        raise CaptureError(f"{found[0][0].parent}: number {twice} ends the names of {numbers.count(twice)} pictures")
    live = [light for light in range(len(lights)) if light not in dead and lights.enabled[light]]
    if len(live) != len(found):
        raise CaptureError(
            f"{source}: {counted(len(live), 'light')} in use, but {counted(len(found), 'picture')}; name lights "
            "without picture in 'lights.dead'"
        )
    pictures: list[Path | None] = [None] * len(lights)
    for light, i in zip(live, order, strict=True):
        pictures[light] = found[i][0]
    return pictures


def _by_id(
    found: list[tuple[Path, dict[str, float]]], lights: LightList, source: Path, dead: tuple[int, ...]
) -> list[Path | None]:
    """{id} in the name is the number of the light, from 0."""
    pictures: list[Path | None] = [None] * len(lights)
    for path, numbers in found:
        light = int(numbers["id"])
        if not 0 <= light < len(lights):
            raise CaptureError(f"{path}: light {light}, but {source.name} lists 0 to {len(lights) - 1}; use order numbered")
        if pictures[light] is not None:
            raise CaptureError(f"{path}: light {light} is also in '{pictures[light]}'")
        pictures[light] = None if light in dead else path
    missing = [i for i, path in enumerate(pictures) if path is None and i not in dead and lights.enabled[i]]
    if missing:
        raise CaptureError(
            f"{source}: {counted(len(missing), 'light')} without a picture, the first is {missing[0]}; add them to "
            "'lights.dead'"
        )
    return pictures


ORDERS = {"listed": _listed, "numbered": _numbered, "id": _by_id}


def _natural(name: str) -> list[tuple[int, float, str]]:
    """Sort key by which 2 comes before 10."""
    parts = re.split(r"(\d+)", name)
    return [(0, float(part), "") if i % 2 else (1, 0.0, part) for i, part in enumerate(parts)]


def _plain_regex(text: str) -> str:
    """``*`` for anything, all else literally."""
    return "".join(".*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", text))
