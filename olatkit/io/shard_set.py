"""A folder of shards opened for reading: pairs of neighbouring imagesets, across the edges of files."""

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.shard_index import BANK, ShardEntry, TakeEntry, read_index
from olatkit.io.shards import ShardReader

OPEN_FILES = 128  # systems allow a process some hundred


@dataclass(frozen=True)
class Pair:
    """Imagesets ``first`` and ``first + 1`` of a take."""

    take: str
    subject: str
    first: int


class ShardSet:
    """The shards of a folder; files are opened when they are first needed, and the oldest closed beyond 128.

    Parameters
    ----------
    folder : path
        What ``olatkit build-shards`` wrote.
    split : str, optional
        Only the takes of this split; all if None.

    Raises
    ------
    FormatError
        No index, a newer version, a missing file, or no take in the split.
    """

    def __init__(self, folder: str | os.PathLike[str], split: str | None = None) -> None:
        self.folder = Path(folder)
        self.index = read_index(folder)
        self.takes: tuple[TakeEntry, ...] = self.index.takes_of(split)
        if not self.takes:
            raise FormatError(
                f"{self.folder}: no take in split '{split}', it has {', '.join(self.index.splits)}; build-shards --split "
                "says who is where"
            )
        self.pairs: tuple[Pair, ...] = tuple(
            Pair(take.name, take.subject, first) for take in self.takes for first in range(take.imagesets - 1)
        )
        self._entries = {
            (take.name, shard.first + i): shard
            for take in self.takes
            for shard in self.index.shards_of(take.name)
            for i in range(shard.imagesets)
        }
        self._readers: dict[str, ShardReader] = {}
        self._opened: deque[ShardReader] = deque()  # those with an open file

    @property
    def bank(self) -> Path | None:
        """The lighting bank that lies beside the index, or None."""
        return self.folder / BANK if self.index.bank_sha256 else None

    def locate(self, take: str, imageset: int) -> tuple[ShardReader, int]:
        """The shard that holds an imageset of a take, and its place there."""
        if (take, imageset) not in self._entries:
            raise IndexError(f"{self.folder}: take '{take}' has no imageset {imageset}")
        entry = self._entries[take, imageset]
        return self.reader(entry), imageset - entry.first

    def reader(self, entry: ShardEntry) -> ShardReader:
        """An open shard, held against what the index says of it."""
        if entry.file not in self._readers:
            path = self.folder / entry.file
            reader = ShardReader(path)
            h, index = reader.header, self.index
            pairs = {
                "take": (h.take, entry.take), "first imageset": (h.first, entry.first),
                "imagesets": (h.count, entry.imagesets), "pairs": (h.pairs, entry.pairs), "size": (h.size, index.size),
                "tile": (h.tile, index.tile), "baked": (h.baked, index.baked),
                "bytes": (path.stat().st_size, entry.bytes),
            }
            wrong = [f"{name} {found} for {said}" for name, (found, said) in pairs.items() if found != said]
            if wrong:
                raise FormatError(
                    f"{path}: differs from what index.json says: {', '.join(wrong)}; the file belongs to another build: "
                    "delete it, then run build-shards with --overwrite"
                )
            self._readers[entry.file] = reader
        reader = self._readers[entry.file]
        if not reader.is_open:
            self._opened.append(reader)
        if len(self._opened) > OPEN_FILES:
            self._opened.popleft().close()
        return reader

    def open_all(self) -> None:
        """Open every shard of these takes now, so that one that is damaged or lacks a part is told before work begins."""
        for take in self.takes:
            for entry in self.index.shards_of(take.name):
                self.reader(entry)

    def read_full(self, take: str, imageset: int) -> np.ndarray:
        """Fully lit picture (S, S, 3) uint8 sRGB."""
        reader, row = self.locate(take, imageset)
        return reader.read("full", row)

    def close(self) -> None:
        """Close all files; they are opened again when needed."""
        for reader in self._readers.values():
            reader.close()

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        return f"ShardSet('{self.folder}', {len(self.takes)} takes, {len(self.pairs)} pairs, {self.index.size} px)"
