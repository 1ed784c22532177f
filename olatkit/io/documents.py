"""Rigs and schedules on disk: JSON, CSV and RTI light-position (.lp) files."""

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import ConfigError, FormatError
from olatkit.io.outputs import whole_file
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule, schedule_from_document, schedule_to_document
from olatkit.wording import called, counted, reason

RIG_AXES = "x-right,y-up,z-to-camera"
# What a file should have been, for messages.
RIG = "a rig, the positions of the lights, in .json, .csv or .lp"
SCHEDULE = "a lighting schedule in .json"


def read_rig(path: str | os.PathLike[str]) -> LightRig:
    """Read a rig from JSON, CSV (``id,x,y,z,gr,gg,gb``) or ``.lp`` (count, then ``name x y z`` lines).

    Ids must run from 0 to L - 1 in any order; unknown keys are ignored. Positions of unit length in a CSV or
    ``.lp`` file are directions, and the rig then has no positions.

    Raises
    ------
    FormatError
        The file is missing, not JSON/CSV/lp, or lacks a key.
    ConfigError
        Values that :class:`~olatkit.rig.LightRig` refuses.
    """
    path = Path(path)
    readers = {".json": _read_rig_json, ".csv": _read_rig_csv, ".lp": _read_rig_lp}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        with _open_text(path, RIG):
            raise FormatError(f"{path}: rig files end in .json, .csv or .lp, not '{path.suffix}'")
    return reader(path)


def read_schedule(path: str | os.PathLike[str]) -> LightingSchedule:
    """Read a lighting schedule from JSON; unknown keys are ignored.

    Raises
    ------
    FormatError
        The file is missing or not JSON.
    ConfigError
        A key is missing, a slot is wrong or a light is never lit.
    """
    document = read_json(Path(path), SCHEDULE)
    if "lights" in document and "frames" not in document:
        raise ConfigError(f"{path}: holds a rig, expected a lighting schedule; are rig and schedule swapped?")
    document.setdefault("name", Path(path).name)
    return schedule_from_document(document, source=str(path))


def write_rig(path: str | os.PathLike[str], rig: LightRig, *, overwrite: bool = False) -> None:
    """Write a rig as JSON. An existing file is an OutputExistsError unless ``overwrite``."""
    _write_json(Path(path), rig_to_document(rig), overwrite)


def write_schedule(path: str | os.PathLike[str], schedule: LightingSchedule, *, overwrite: bool = False) -> None:
    """Write a schedule as JSON. An existing file is an OutputExistsError unless ``overwrite``."""
    _write_json(Path(path), schedule_to_document(schedule), overwrite)


def rig_to_document(rig: LightRig) -> dict[str, Any]:
    """The rig as the JSON document of ``docs/capture.md``; positions in metres, or unit vectors without them."""
    places = rig.directions if rig.positions is None else rig.positions
    document: dict[str, Any] = {"version": 1, "units": "m", "axes": RIG_AXES, "name": rig.name}
    if rig.positions is None:
        document["distant"] = True
    else:
        document["radius"] = round(float(np.median(np.linalg.norm(rig.positions, axis=1))), 6)
    document["lights"] = [
        {"id": i, "pos": places[i].tolist(), "gain": rig.gains[i].tolist(), "enabled": bool(rig.enabled[i])}
        for i in range(len(rig))
    ]
    return document


def rig_from_document(document: dict[str, Any], *, source: str = "rig") -> LightRig:
    """Build a rig from its JSON document; unknown keys are ignored."""
    if document.get("version", 1) != 1:
        raise ConfigError(f"{source}: rig version {document['version']}, expected 1; update olatkit")
    if document.get("axes", RIG_AXES) != RIG_AXES:
        raise ConfigError(f"{source}: axes '{document['axes']}', expected '{RIG_AXES}'; convert the positions")
    if document.get("units", "m") != "m":
        raise ConfigError(f"{source}: units '{document['units']}', expected 'm'; convert the positions to metres")
    lights = document.get("lights")
    if lights is None and "frames" in document:
        raise ConfigError(f"{source}: holds a lighting schedule, expected a rig; are rig and schedule swapped?")
    if not isinstance(lights, list) or not lights:
        raise ConfigError(f"{source}: key 'lights' holds no list of lights")
    rows = []
    for item in lights:
        try:
            gain = [float(g) for g in item.get("gain", (1, 1, 1))]
            rows.append((int(item["id"]), [float(v) for v in item["pos"]], gain, bool(item.get("enabled", True))))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ConfigError(f"{source}: light entry {item!r}: {reason(error)}; expected 'id' and 'pos'") from error
    return _build_rig(str(document.get("name", Path(source).name)), rows, bool(document.get("distant", False)), source)


def _build_rig(
    name: str, rows: list[tuple[int, list[float], list[float], bool]], distant: bool, source: str
) -> LightRig:
    """Order the rows by id and check that ids are 0..L-1 and positions are usable."""
    ids = [row[0] for row in rows]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise ConfigError(f"{source}: light id {twice[0]} appears {ids.count(twice[0])} times, expected unique ids")
    if sorted(ids) != list(range(len(ids))):
        missing = sorted(set(range(len(ids))) - set(ids))
        raise ConfigError(
            f"{source}: light ids run from {min(ids)} to {max(ids)} and {missing[:3]} are missing, expected "
            f'0 to {len(ids) - 1}; list a missing light with "enabled": false'
        )
    rows = sorted(rows)
    for i, position, gain, _ in rows:
        if len(position) != 3 or len(gain) != 3:
            raise ConfigError(f"{source}: light {i} has position {position} and gain {gain}, expected 3 numbers each")
        if not all(map(math.isfinite, position)) or not any(position):
            raise ConfigError(
                f"{source}: light {i} has position {position}, expected finite numbers away from the origin"
            )
    positions = np.array([row[1] for row in rows])
    directions = positions / np.linalg.norm(positions, axis=1, keepdims=True)
    gains, enabled = np.array([row[2] for row in rows]), np.array([row[3] for row in rows])
    return LightRig(name, directions, None if distant else positions, gains, enabled)


def _read_rig_json(path: Path) -> LightRig:
    return rig_from_document(read_json(path, RIG), source=str(path))


def _read_rig_csv(path: Path) -> LightRig:
    with _open_text(path, RIG) as file:
        reader = csv.DictReader(file)
        needed = {"id", "x", "y", "z"}
        if not needed <= set(reader.fieldnames or ()):
            found = ",".join(reader.fieldnames or ()) or "none"
            raise FormatError(f"{path}: columns {found}, expected id,x,y,z and optionally gr,gg,gb,enabled")
        rows = []
        for number, item in enumerate(reader, 2):
            try:
                position = [float(item[k]) for k in "xyz"]
                gain = [float(item.get(k) or 1) for k in ("gr", "gg", "gb")]
                rows.append(
                    (int(item["id"]), position, gain, (item.get("enabled") or "1") not in ("0", "false", "False"))
                )
            except (TypeError, ValueError) as error:
                raise FormatError(f"{path}, line {number}: {error}; expected numbers") from error
    if not rows:
        raise FormatError(f"{path}: no lights below the header")
    return _build_rig(path.stem, rows, _all_unit(rows), str(path))


def _read_rig_lp(path: Path) -> LightRig:
    with _open_text(path, RIG) as file:
        lines = [line.split() for line in file if line.strip()]
    try:
        count = int(lines[0][0])
        rows = [(i, [float(v) for v in line[-3:]], [1.0, 1.0, 1.0], True) for i, line in enumerate(lines[1:])]
    except (IndexError, ValueError) as error:
        raise FormatError(f"{path}: {error}; expected a count, then one 'name x y z' line per light") from error
    if count != len(rows) or not rows:
        raise FormatError(f"{path}: first line says {counted(count, 'light')}, {len(rows)} follow")
    return _build_rig(path.stem, rows, True, str(path))


def _all_unit(rows: list[tuple[int, list[float], list[float], bool]]) -> bool:
    """True if every position has length 1, which in a table without units means a direction."""
    return bool(np.abs(np.linalg.norm([row[1] for row in rows], axis=1) - 1).max() < 1e-3)


def _open_text(path: Path, expected: str):
    try:
        return open(path, encoding="utf-8-sig", newline="")
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror or error}; expected {expected}") from error


def read_json(path: Path, expected: str = "a JSON object") -> dict[str, Any]:
    """Read a JSON object; anything else is a FormatError that says what was ``expected``."""
    with _open_text(path, expected) as file:
        try:
            document = json.load(file)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FormatError(f"{path}: not JSON: {error}; expected {expected}") from error
    if not isinstance(document, dict):
        raise FormatError(f"{path}: holds {called(document)}, expected {expected}")
    return document


def _write_json(path: Path, document: dict[str, Any], overwrite: bool) -> None:
    with whole_file(path, overwrite=overwrite) as part:
        part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
