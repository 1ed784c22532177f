"""``index.json`` of a shard set: which takes, subjects and splits it holds, in which files; written last.

A folder with shards but without an index is a build that has not ended. The index ends with a SHA-256 of its own values:
a damaged digit of a split or a factor would otherwise be believed.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from olatkit.errors import FormatError
from olatkit.io.documents import read_json
from olatkit.io.outputs import whole_file
from olatkit.wording import counted

INDEX = "index.json"
BUILD = "build"  # folder inside an unfinished set that holds the plan and the records of finished shards
BANK = "bank.h5"
FORMAT = "olatkit-shards"
VERSION = 1


@dataclass(frozen=True)
class TakeEntry:
    """A take: its names, its ``split``, numbers of imagesets and lights, ``kappa`` and who made the labels."""

    name: str
    subject: str
    split: str
    imagesets: int
    lights: int
    kappa: float
    labels: str


@dataclass(frozen=True)
class ShardEntry:
    """A shard: its file, bytes, SHA-256, and the imagesets of a take that it holds."""

    file: str
    bytes: int
    sha256: str
    take: str
    first: int
    imagesets: int
    pairs: int


@dataclass(frozen=True)
class ShardIndex:
    """What ``index.json`` says.

    ``size`` is the side of all pictures [px], ``tile`` that of a chunk of lights, ``baked`` the number of relit
    triplets per pair, ``bank_sha256`` the hash of ``bank.h5`` beside the index ('' without one), ``settings`` all
    settings that the shards were made with.
    """

    size: int
    tile: int
    baked: int
    compression: str
    bank_sha256: str
    takes: tuple[TakeEntry, ...]
    shards: tuple[ShardEntry, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Of all values. They hold the hash of every shard and of the bank, so that it stands for the whole set."""
        return _digest({"format": FORMAT, "version": VERSION, **asdict(self)})

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that hold takes."""
        return tuple(sorted({take.split for take in self.takes}))

    def takes_of(self, split: str | None) -> tuple[TakeEntry, ...]:
        """Takes of a split in order, or all."""
        return tuple(take for take in self.takes if split in (None, take.split))

    def shards_of(self, take: str) -> tuple[ShardEntry, ...]:
        """Shards of a take, in order of time."""
        return tuple(sorted((shard for shard in self.shards if shard.take == take), key=lambda shard: shard.first))


def write_index(folder: Path, index: ShardIndex, *, overwrite: bool = False) -> None:
    """Write ``index.json``; everything that it names must be there."""
    document = {"format": FORMAT, "version": VERSION, **asdict(index), "sha256": index.sha256}
    with whole_file(folder / INDEX, overwrite=overwrite) as part:
        part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_index(folder: str | os.PathLike[str]) -> ShardIndex:
    """Read ``index.json`` of a folder of shards.

    Raises
    ------
    FormatError
        There is none, it is damaged, was changed, is of a newer version, or contradicts itself.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        raise FormatError(f"{folder}: {_why_no_set(Path(folder))}")
    document = read_json(path)
    if document.pop("format", None) != FORMAT:
        raise FormatError(f"{path}: not the index of a shard set, expected format = {FORMAT}")
    version = document.pop("version", 0)
    if not isinstance(version, int) or version > VERSION:
        raise FormatError(f"{path}: index version {version}, this olatkit reads up to {VERSION}; update it")
    said = document.pop("sha256", None)
    if said is not None and said != _digest({"format": FORMAT, "version": version, **document}):
        raise FormatError(
            f"{path}: damaged index, its values do not match the SHA-256 that it ends with; run build-shards with the "
            "same arguments and --overwrite, whole shards are kept (who changes an index by hand removes that line)"
        )
    try:
        takes = tuple(TakeEntry(**item) for item in document.pop("takes"))
        shards = tuple(ShardEntry(**item) for item in document.pop("shards"))
        index = ShardIndex(takes=takes, shards=shards, **document)
        problem = find_contradiction(index)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: damaged index: {error}") from error
    if problem:
        raise FormatError(f"{path}: {problem}")
    return index


def _why_no_set(folder: Path) -> str:
    """What a folder is that holds no index, and what to do about it."""
    if not folder.is_dir():
        return "no such folder; `olatkit build-shards` makes sets of shards"
    if (folder / BUILD / "plan.json").is_file():
        return "the build of this shard set has not ended; run build-shards again with the same arguments"
    if any(folder.glob("shard-*.h5")):
        return f"holds shards, but no {INDEX}; copy it from where the set was made, or run build-shards again"
    inside = sorted(folder.glob(f"*/{INDEX}"))
    hint = f"; {inside[0].parent} is one" if inside else ", a folder that `olatkit build-shards` wrote"
    return f"no shard set (it has no {INDEX}), expected one{hint}"


def _digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of an index's values; how its file is laid out does not count."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def find_contradiction(index: ShardIndex) -> str:
    """What an index says against itself, in a line; '' if nothing."""
    names = [take.name for take in index.takes]
    if len(set(names)) < len(names):
        return f"take '{next(name for name in names if names.count(name) > 1)}' is listed twice"
    splits: dict[str, str] = {}
    for take in index.takes:
        if splits.setdefault(take.subject, take.split) != take.split:
            return f"subject '{take.subject}' is in the splits {splits[take.subject]} and {take.split}, expected one"
    for shard in index.shards:
        if shard.take not in names:
            return f"{shard.file} belongs to take '{shard.take}', which is not listed"
    for take in index.takes:
        follows = 0
        for shard in index.shards_of(take.name):
            if shard.first != follows:
                return f"take '{take.name}': {shard.file} begins at imageset {shard.first}, expected {follows}"
            follows += shard.imagesets
            expected = shard.imagesets - (follows == take.imagesets)
            if shard.pairs != expected:
                return f"{shard.file} holds {counted(shard.pairs, 'pair')}, expected {expected}"
        if follows != take.imagesets:
            return f"the shards of take '{take.name}' hold {counted(follows, 'imageset')}, expected {take.imagesets}"
    return ""
