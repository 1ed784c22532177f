"""What is said about a file: facts with a name, a text for people and a value for machines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Fact:
    """One line: ``label`` and ``text`` for people; ``key``, which ends in its unit, and ``value`` for JSON."""

    label: str
    text: str
    key: str
    value: Any


@dataclass(frozen=True)
class Description:
    """What kind of file this is, in words, and its facts in reading order."""

    kind: str
    facts: tuple[Fact, ...]


def number(label: str, value: float, unit: str, key: str, form: str = ".6g") -> Fact:
    """A number with its unit; the unit is '' for counts."""
    plain = float(value) if isinstance(value, (float, np.floating)) else int(value)
    return Fact(label, f"{plain:{form}} {unit}".strip(), key, plain)


def text(label: str, value: str, key: str) -> Fact:
    """A word or a sentence."""
    return Fact(label, value, key, value)


def size(label: str, width: int, height: int, key: str) -> Fact:
    """A picture size, width x height in pixels."""
    return Fact(label, f"{width} x {height} px", key, [int(width), int(height)])


def file_size(count: int) -> Fact:
    """Size of a file or folder."""
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes"))
    scale, unit = next((scale, unit) for scale, unit in units if count >= scale or scale == 1)
    return Fact("on disk", f"{count / scale:.4g} {unit}", "bytes", int(count))


def span(label: str, values: Sequence[float] | np.ndarray, unit: str, key: str, form: str = ".4g") -> Fact:
    """Smallest and largest of several numbers, one if they are equal."""
    low, high = float(np.min(values)), float(np.max(values))
    shown = f"{low:{form}}" if f"{low:{form}}" == f"{high:{form}}" else f"{low:{form}} to {high:{form}}"
    return Fact(label, f"{shown} {unit}".strip(), key, [low, high])
