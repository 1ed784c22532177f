"""Lists of lights that come with photographs: RTI ``.lp``, CSV and JSON, with the picture of each light if they name it.

A list says nothing reliable about its own axes and units, so :func:`make_rig` takes both from the caller.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olatkit.errors import ConfigError, FormatError
from olatkit.io.documents import RIG, RIG_AXES, read_json
from olatkit.io.outputs import whole_file
from olatkit.rig import LightRig
from olatkit.wording import counted, reason

SUFFIXES = (".lp", ".csv", ".json")
# Metres in a unit; 'direction' says that only the direction of the numbers counts.
UNITS = {"direction": None, "m": 1.0, "cm": 0.01, "mm": 0.001}
_WORDS = {
    "right": (1, 0, 0), "left": (-1, 0, 0), "up": (0, 1, 0), "down": (0, -1, 0),
    "to-camera": (0, 0, 1), "from-camera": (0, 0, -1),
}


@dataclass(frozen=True, eq=False)
class LightList:
    """Lights as a file lists them, in the file's own axes and unit.

    ``vectors`` (L, 3); ``gains`` (L, 3), ones if the file has none; ``enabled`` (L,); ``pictures`` names of files, or
    empty; ``axes`` as the file states them, or empty; ``has_gains`` tells listed gains from missing ones.
    """

    vectors: np.ndarray
    gains: np.ndarray
    enabled: np.ndarray
    pictures: tuple[str, ...] = ()
    axes: str = ""
    has_gains: bool = False

    def __len__(self) -> int:
        return len(self.vectors)


def read_light_list(path: str | os.PathLike[str]) -> LightList:
    """Read ``.lp`` (count, then ``name x y z`` lines), CSV (``file`` or ``id``, ``x,y,z``) or JSON (a rig document).

    CSV may also have ``gr,gg,gb`` and ``enabled``; the lights of a JSON rig may have ``file``. Lights named by id are
    put in its order, others keep the order of the lines.

    Raises
    ------
    FormatError
        Missing or damaged file, missing columns, a count that disagrees, ids that are not 0 to L - 1.
    """
    path = Path(path)
    readers = {".lp": _read_lp, ".csv": _read_csv, ".json": _read_json}
    if path.suffix.lower() not in readers:
        raise FormatError(f"{path}: light lists end in {', '.join(SUFFIXES)}, not '{path.suffix}'")
    return readers[path.suffix.lower()](path)


def write_lp(
    path: str | os.PathLike[str], names: Sequence[str], directions: np.ndarray, *, overwrite: bool = False
) -> None:
    """Write an RTI light-position file: the number of lights, then ``name x y z`` per light, +Y up and +Z to the camera.

    Raises
    ------
    OutputExistsError
        The file exists and ``overwrite`` is false.
    """
    rows = [f"{name} {x:.9f} {y:.9f} {z:.9f}" for name, (x, y, z) in zip(names, directions, strict=True)]
    with whole_file(path, overwrite=overwrite) as part:
        part.write_text("\n".join([str(len(rows)), *rows]) + "\n", encoding="utf-8")


def parse_axes(text: str) -> np.ndarray:
    """Matrix (3, 3) that takes vectors of a list to +X right, +Y up, +Z to the camera.

    ``text`` says where the list's axes point, such as ``x-right,y-up,z-to-camera`` (this package's own); left-handed
    lists are as good as right-handed ones.

    Raises
    ------
    ConfigError
        Not three axes, or two of them along one line.
    """
    columns: dict[str, tuple[int, int, int]] = {}
    for part in text.lower().replace(" ", "").split(","):
        axis, _, word = part.partition("-")
        if axis in ("x", "y", "z") and word in _WORDS:
            columns[axis] = _WORDS[word]
    matrix = np.array([columns.get(axis, (0, 0, 0)) for axis in "xyz"], float).T
    if len(columns) != 3 or abs(np.linalg.det(matrix)) != 1 or text.count(",") != 2:
        raise ConfigError(
            f"axes '{text}': expected where x, y and z point, each one of {', '.join(_WORDS)}; for example '{RIG_AXES}'"
        )
    return matrix


def make_rig(
    name: str, lights: LightList, *, axes: str, unit: str, origin: Sequence[float] = (0, 0, 0), gains: str = "list"
) -> LightRig:
    """A rig in this package's axes and metres.

    Parameters
    ----------
    name : str
        Of the rig.
    lights : LightList
    axes : str
        As for :func:`parse_axes`.
    unit : {"direction", "m", "cm", "mm"}
        What the numbers are; without a length there are directions and no positions.
    origin : 3 floats
        Where the subject stands, in the list's axes and unit.
    gains : {"list", "equal", "distance"}
        The list's gains; all lights equally bright at the subject; or equal lamps, whose light at the subject falls with
        the square of their distance (mean 1).

    Raises
    ------
    ConfigError
        Bad axes, a light at the origin, or lights that :class:`~olatkit.rig.LightRig` refuses.
    """
    if lights.axes and not np.array_equal(parse_axes(lights.axes), parse_axes(axes)):
        raise ConfigError(f"the list of lights says axes '{lights.axes}', the manifest says '{axes}'; correct one of them")
    vectors = (lights.vectors - np.asarray(origin, float)) @ parse_axes(axes).T
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.isfinite(lengths).all() or not lengths.all():
        bad = int(np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))[0])
        raise ConfigError(
            f"light {bad} stands at {lights.vectors[bad].tolist()}, expected finite numbers away from the origin "
            f"{list(origin)}"
        )
    metres = UNITS[unit]
    positions = None if metres is None else vectors * metres
    fall_off = np.repeat(lengths[:, None] ** -2.0, 3, axis=1)
    brightness = {"list": lights.gains, "equal": None, "distance": fall_off / fall_off.mean()}[gains]
    return LightRig(name, vectors / lengths[:, None], positions, brightness, lights.enabled)


def _read_lp(path: Path) -> LightList:
    lines = [line for line in _read_text(path).splitlines() if line.strip()]
    number = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
    row = re.compile(rf"(.*?)[\s,;]+({number})[\s,;]+({number})[\s,;]+({number})\s*")
    if not lines or not re.fullmatch(r"\d+", lines[0].split()[0]):
        raise FormatError(f"{path}: starts with {lines[0][:40] if lines else ''!r}, expected the number of lights")
    names, vectors = [], []
    for i, line in enumerate(lines[1:], 2):
        found = row.fullmatch(line)
        if not found:
            raise FormatError(f"{path}, line {i}: {line[:60]!r}, expected 'name x y z'")
        # The list may have been made on another machine: only the last part of a path counts.
        names.append(re.split(r"[/\\]", found[1].strip().strip('"'))[-1])
        vectors.append([float(found[k]) for k in (2, 3, 4)])
    if int(lines[0].split()[0]) != len(vectors) or not vectors:
        raise FormatError(f"{path}: first line says {counted(int(lines[0].split()[0]), 'light')}, {len(vectors)} follow")
    return _plain(vectors, tuple(names))


def _read_csv(path: Path) -> LightList:
    import csv
    import io

    reader = csv.DictReader(io.StringIO(_read_text(path)))
    columns = [(name or "").strip().lower() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    if not {"x", "y", "z"} <= set(columns) or not {"file", "id"} & set(columns):
        raise FormatError(f"{path}: columns {','.join(columns)}, expected file or id, x,y,z and optionally gr,gg,gb,enabled")
    rows: list[tuple[int, list[float], list[float], bool, str]] = []
    for number, item in enumerate(reader, 2):
        try:
            vector = [float(item[k]) for k in "xyz"]
            gain = [float(item.get(k) or 1) for k in ("gr", "gg", "gb")]
            index = int(item["id"]) if "id" in columns else len(rows)
        except (TypeError, ValueError) as error:
            raise FormatError(f"{path}, line {number}: {error}; expected numbers") from error
        enabled = (item.get("enabled") or "1").strip().lower() not in ("0", "false")
        rows.append((index, vector, gain, enabled, (item.get("file") or "").strip()))
    return _ordered(path, rows, has_gains="gr" in columns)


def _read_json(path: Path) -> LightList:
    document = read_json(path, RIG)
    lights = document.get("lights")
    if not isinstance(lights, list) or not lights:
        raise FormatError(f"{path}: key 'lights' holds no list of lights")
    rows: list[tuple[int, list[float], list[float], bool, str]] = []
    for number, item in enumerate(lights):
        try:
            vector, gain = [float(v) for v in item["pos"]], [float(v) for v in item.get("gain", (1, 1, 1))]
            if len(vector) != 3 or len(gain) != 3:
                raise ValueError("expected three numbers each for 'pos' and 'gain'")
            enabled = bool(item.get("enabled", True))
            rows.append((int(item.get("id", number)), vector, gain, enabled, str(item.get("file", ""))))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FormatError(f"{path}: light entry {item!r}: {reason(error)}; expected an object with 'pos'") from error
    has_gains = any("gain" in item for item in lights)
    return _ordered(path, rows, has_gains=has_gains, axes=str(document.get("axes", "")))


def _ordered(
    path: Path, rows: list[tuple[int, list[float], list[float], bool, str]], *, has_gains: bool, axes: str = ""
) -> LightList:
    """Rows in the order of their ids, which must be 0 to L - 1."""
    rows = sorted(rows, key=lambda row: row[0])
    ids = [row[0] for row in rows]
    if not rows or ids != list(range(len(ids))):
        shown = f"ids {ids[0]} to {ids[-1]}, {len(set(ids))} different ones" if rows else "no lights"
        raise FormatError(f"{path}: {shown}, expected 0 to {max(len(ids) - 1, 0)}, each once")
    pictures = tuple(row[4] for row in rows)
    return LightList(
        np.array([row[1] for row in rows]), np.array([row[2] for row in rows]), np.array([row[3] for row in rows]),
        pictures if any(pictures) else (), axes, has_gains,
    )


def _plain(vectors: Sequence[Sequence[float]], pictures: tuple[str, ...]) -> LightList:
    """Lights without gains, all in use."""
    return LightList(np.array(vectors, float), np.ones((len(vectors), 3)), np.ones(len(vectors), bool), pictures)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not text: {error}") from error
