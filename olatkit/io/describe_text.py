"""Explain what this package writes and reads as text: settings and plans in YAML and JSON, tables, pages."""

import csv
import html
import re
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import ConfigError, FormatError
from olatkit.io.facts import Description, Fact, file_size, number, size, text
from olatkit.io.yaml_files import read_yaml
from olatkit.wording import counted

LONG = 70  # characters of a value that are shown
_OWN_KEYS = ("path", "kind", "bytes")  # of every description for machines
_TABLES = {"step": "metrics of a training", "method": "scores of an evaluation"}


def describe_yaml(path: Path) -> Description:
    """Settings, a light track, a manifest of photographs: what stands on its first level."""
    try:
        document = read_yaml(path)
    except ConfigError as error:  # for this command it is a file like any other
        raise FormatError(str(error)) from error
    if not isinstance(document, dict) or not document:
        raise FormatError(f"{path}: YAML without keys, expected settings, a light track or a manifest of photographs")
    kinds = {"light track": {"maps", "lamps", "rotation"}, "manifest of photographs": {"pictures"}}
    kind = next((name for name, keys in kinds.items() if keys & document.keys()), "settings")
    facts = _track(document) if kind == "light track" else _entries(document)
    return Description(f"{kind}, YAML", (*facts, file_size(path.stat().st_size)))


def describe_matrix(path: Path, matrix: list[Any]) -> Description:
    """A colour matrix of `olatkit calibrate color`; FormatError for other lists."""
    try:
        values = np.array(matrix, float)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.shape != (3, 3):
        raise FormatError(f"{path}: JSON of no known kind (a list), expected a 3x3 matrix of camera colours")
    rows = [Fact(f"linear {name}", " ".join(f"{v:+.4f}" for v in row) + " times R G B of the camera", f"row_{name}",
                 row.tolist()) for name, row in zip(("red", "green", "blue"), values, strict=True)]
    return Description("matrix from camera colours to linear Rec.709", (*rows, file_size(path.stat().st_size)))


def describe_plan(path: Path, document: dict[str, Any]) -> Description:
    """``set.json`` of a simulated training set; FormatError if it is damaged."""
    try:
        actors = document["actors"]
        tests = [actor["name"] for actor in actors if actor["split"] == "test"]
        height, width = document["size"]
        facts = (
            number("actors", len(actors), "", "actors"),
            Fact("for tests", ", ".join(tests) or "none", "test_actors", tests),
            number("imagesets of each", int(document["imagesets"]), "", "imagesets"),
            size("picture", width, height, "size_px"),
            file_size(path.stat().st_size),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: no plan of a simulated set ({' '.join(str(error).split())})") from error
    return Description("plan of a simulated training set", facts)


def table_kind(path: Path) -> str:
    """What a CSV file is by the first name of its header; '' for what may be a rig."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return _TABLES.get(file.readline().split(",")[0], "")


def describe_table(path: Path) -> Description:
    """Metrics of a training, scores of an evaluation."""
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            header, *rows = csv.reader(file)
    except csv.Error as error:
        raise FormatError(f"{path}: no table ({error}), expected {table_kind(path)}") from error
    facts = [number("rows", len(rows), "", "rows"), Fact("columns", ", ".join(header), "columns", header)]
    if rows:
        facts.append(text("last row", ", ".join(rows[-1]), "last_row"))
    return Description(table_kind(path), (*facts, file_size(path.stat().st_size)))


def describe_page(path: Path) -> Description:
    """A page for a browser, such as the report of a take."""
    page = path.read_text(encoding="utf-8", errors="replace")
    title = re.search(r"<title>(.*?)</title>", page)
    verdict = re.search(r'class="verdict \w+"><strong>(.*?)</strong>', page)
    facts = [text("title", html.unescape(title[1]) if title else "none", "title")]
    if verdict:
        facts.append(text("verdict", html.unescape(verdict[1]), "verdict"))
    kind = "report of a take, to open in a browser" if verdict else "page to open in a browser"
    return Description(kind, (*facts, file_size(path.stat().st_size)))


def _track(document: dict[str, Any]) -> list[Fact]:
    """How long a light track is, and how many maps, turns and lamps it has; its plain entries if it is damaged."""
    try:
        maps, turns, lamps = (document.get(key) or [] for key in ("maps", "rotation", "lamps"))
        keys = [*maps, *turns, *(key for lamp in lamps for key in lamp["keys"])]
        length = document.get("duration_s") or max((key.get("at_s", 0) for key in keys), default=0)
        names = list(dict.fromkeys(str(key["map"]) for key in maps))
        shown = [f"{lamp.get('name') or f'lamp {i}'} ({counted(len(lamp['keys']), 'key')})" for i, lamp in enumerate(lamps)]
        named = f"{len(names)} ({counted(len(maps), 'key')}): {', '.join(names)}" if names else "none"
        about = [
            Fact("duration", f"{length:g} s" if length else "0 s, a standing light", "duration_s", length),
            Fact("maps", named, "maps", maps),
            Fact("rotation", counted(len(turns), "key") if turns else "none", "rotation", turns),
            Fact("lamps", f"{len(lamps)}: {', '.join(shown)}" if lamps else "none", "lamps", lamps),
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        return _entries(document)
    return about + _entries({key: value for key, value in document.items() if key not in {fact.key for fact in about}})


def _entries(document: dict[str, Any]) -> list[Fact]:
    """Keys of a document with their values, long ones shortened."""
    facts = []
    for key, value in document.items():
        plain = ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        shown = " ".join(plain.split())
        name = f"{key}_" if key in _OWN_KEYS else str(key)
        facts.append(Fact(str(key), shown if len(shown) <= LONG else f"{shown[:LONG]} ...", name, value))
    return facts
