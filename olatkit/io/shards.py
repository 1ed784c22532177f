"""Shards on disk: ``shard-00000.h5``, up to 16 consecutive imagesets of one take as a network is trained with them.

Layout, version 1 (T imagesets, P pairs that begin here, L lights, pictures of S x S pixels, tiles of c x c):

=====================  ===========================  ========================================================
``olat``               (T, L, S, S, 3) uint16       radiance codes of :mod:`olatkit.io.codes`, one chunk per
                                                    tile with all its lights; dark tiles are left out
``full``               (T, S, S, 3) uint8           sRGB under uniform white light of radiance 1, times kappa
``parse``              (T, S, S) uint8              parsing class, 0 is background
``mask``               (T, S, S) uint8              coverage of the subject, 255 is whole
``flow_fw``            (P, S, S, 2) float16         (dx, dy) [px] on the grid of t, into t + 1
``flow_bw``            (P, S, S, 2) float16         on the grid of t + 1, into t
``occ_fw``, ``occ_bw`` (P, S, S) uint8              1 where that grid's pixel has no counterpart
``baked``              (P, K, 4, S, S, 3) uint8     optional: i at t, j at t + 1, k at t, k at t + 1
``baked_lights``       (P, K, 3, 16, 16, 3) float32 optional: their lightings i, j, k
``quality``            (T, L) uint8                 bits of :mod:`olatkit.imageset`
``obs``                (T, L, 2) int32              ticks of the looks after and before
``r``                  (T,) int64                   reference tick
``sums/NAME``          uint64                       checksum of every chunk of NAME, 0 where none is stored
=====================  ===========================  ========================================================

Pair t is imagesets t and t + 1 of the take; the last of a shard reads the first imageset of the next one. Chunks are
read from the file directly, checked and unpacked here: HDF5 is only asked once where they lie, so that reading needs
none of its locks and no open HDF5 file, and survives a fork.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.checksums import checksum
from olatkit.io.chunk_places import OpenFile, chunk_places
from olatkit.io.chunks import compression_of, unpack
from olatkit.io.codes import BLACK, decode_into
from olatkit.io.documents import rig_from_document
from olatkit.io.hdf5_files import hdf5
from olatkit.rig import LightRig

VERSION = 1
PER_IMAGESET = ("olat", "full", "parse", "mask")
PER_PAIR = ("flow_fw", "flow_bw", "occ_fw", "occ_bw")
ROWS = ("quality", "obs", "r")
TYPES = {
    "olat": np.uint16, "full": np.uint8, "parse": np.uint8, "mask": np.uint8, "flow_fw": np.float16,
    "flow_bw": np.float16, "occ_fw": np.uint8, "occ_bw": np.uint8, "baked": np.uint8,
}


@dataclass(frozen=True, eq=False)
class ShardHeader:
    """What all imagesets of a shard share.

    ``take`` and ``subject`` are names, ``first`` the take's index of its first imageset, ``count`` and ``pairs`` its
    imagesets and the pairs that begin in it, ``size`` the side of its pictures, ``tile`` that of its tiles [px],
    ``baked`` the number of relit triplets per pair, ``kappa`` the take's factor from relit radiance to display,
    ``notes`` JSON-like provenance.
    """

    rig: LightRig
    schedule: str
    take: str
    subject: str
    first: int
    count: int
    pairs: int
    size: int
    tile: int
    kappa: float
    baked: int
    compression: str
    digest: str
    notes: dict[str, Any]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a chunked dataset."""
        s, count, pairs = self.size, self.count, self.pairs
        return {
            "olat": (count, len(self.rig), s, s, 3), "full": (count, s, s, 3), "parse": (count, s, s),
            "mask": (count, s, s), "flow_fw": (pairs, s, s, 2), "flow_bw": (pairs, s, s, 2), "occ_fw": (pairs, s, s),
            "occ_bw": (pairs, s, s), "baked": (pairs, self.baked, 4, s, s, 3),
        }[name]

    def chunk(self, name: str) -> tuple[int, ...]:
        """Shape of its chunks: what one read needs."""
        if name == "olat":
            return (1, len(self.rig), self.tile, self.tile, 3)
        leading = 2 if name == "baked" else 1
        return (1,) * leading + self.shape(name)[leading:]

    @property
    def names(self) -> tuple[str, ...]:
        """Chunked datasets that the shard holds."""
        return PER_IMAGESET + (PER_PAIR if self.pairs else ()) + (("baked",) if self.pairs and self.baked else ())


@dataclass(frozen=True, eq=False)
class _Chunks:
    """Where the chunks of a dataset lie: arrays over its grid of chunks; size 0 is a chunk that is not stored."""

    offset: np.ndarray
    size: np.ndarray
    sums: np.ndarray


class ShardReader:
    """A shard to read from; holds the places of its chunks and, once something was read, an open file.

    Safe to share between threads, to pickle and to use after a fork: reads give their own position and move none.

    Raises
    ------
    FormatError
        The file is missing, no shard, damaged, or of a newer version.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: OpenFile | None = None
        if not self.path.is_file():
            raise FormatError(
                f"{self.path}: no such shard, but index.json names it; copy the set whole, or run build-shards again with "
                "--overwrite"
            )
        try:
            with hdf5().File(self.path, "r", locking=False) as file:
                self._load(file)
        except FormatError:
            raise
        except (LookupError, ValueError, OSError, TypeError, RuntimeError, ArithmeticError, MemoryError) as error:
            raise FormatError(f"{self.path}: damaged shard: {' '.join(str(error).split())}") from error

    def _load(self, file: Any) -> None:
        if file.attrs.get("format") != "olatkit-shard":
            raise FormatError(f"{self.path}: not a shard (no attribute format = olatkit-shard)")
        if int(file.attrs["version"]) > VERSION:
            raise FormatError(
                f"{self.path}: shard version {file.attrs['version']}, this olatkit reads up to {VERSION}; update it"
            )
        if rest_digest(file) != file.attrs["rest"]:
            wanted = PER_IMAGESET + (PER_PAIR if file.attrs.get("pairs") else ()) + ROWS
            lacking = ", ".join(name for name in wanted if name not in file)
            what = f"it has no {lacking}" if lacking else "attributes or small datasets do not match their checksum"
            raise FormatError(f"{self.path}: damaged shard: {what}; delete it, then run build-shards with --overwrite")
        self.header = header_of(file, self.path)
        self.rows = {name: file[name][()] for name in ROWS}
        self.baked_lights = file["baked_lights"][()] if "baked" in self.header.names else None
        self._chunks = {name: _places(file, name, self.header) for name in self.header.names}

    def __len__(self) -> int:
        return self.header.count

    def stored_tiles(self, index: int, window: tuple[int, int, int, int] | None = None) -> np.ndarray:
        """Tiles (n, 2) as row and column of the tile grid that are stored of an imageset.

        ``window`` is (top, left, height, width) [px]; only tiles that it touches are given.
        """
        stored = self._chunks["olat"].size[index, 0, :, :, 0] > 0
        if window is not None:
            top, left, height, width = window
            c, seen = self.header.tile, np.zeros(stored.shape, bool)
            seen[top // c : -(-(top + height) // c), left // c : -(-(left + width) // c)] = True
            stored = stored & seen
        return np.argwhere(stored)

    def read_tiles(self, index: int, tiles: np.ndarray, out: np.ndarray) -> None:
        """Fill ``out`` (n, L, c, c, 3) uint16 with the codes of stored ``tiles`` (n, 2) of an imageset."""
        room = np.empty(int(self._chunks["olat"].size[index].max(initial=0)), np.uint8)
        for row, (y, x) in zip(out, tiles.tolist(), strict=True):
            self._unpack("olat", (index, 0, y, x, 0), row, room)

    def each_tile(self, index: int, tiles: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """One of the stored ``tiles`` (n, 2) of an imageset after the other, codes (1, L, c, c, 3) and place (1, 2).

        The codes are overwritten by the next: they are still in the processor's cache when they are used.
        """
        out = np.empty(self.header.chunk("olat"), np.uint16)
        room = np.empty(int(self._chunks["olat"].size[index].max(initial=0)), np.uint8)
        for place in tiles:
            self._unpack("olat", (index, 0, *place.tolist(), 0), out, room)
            yield out, place[None]

    def read(self, name: str, index: int | tuple[int, int], out: np.ndarray | None = None) -> np.ndarray:
        """One picture of a dataset other than ``olat``, e.g. ``read("full", t)`` or ``read("baked", (t, k))``."""
        at = index if isinstance(index, tuple) else (index,)
        shape = self.header.shape(name)[len(at) :]
        out = np.empty(shape, TYPES[name]) if out is None else out
        self._unpack(name, at + (0,) * len(shape), out)
        return out

    def read_codes(self, index: int) -> np.ndarray:
        """All codes of an imageset, (L, S, S, 3) uint16."""
        _, lights, size, _, _ = self.header.shape("olat")
        out = np.full((lights, size, size, 3), BLACK, np.uint16)
        c = self.header.tile
        for tile, place in self.each_tile(index, self.stored_tiles(index)):
            y, x = place[0] * c
            out[:, y : y + c, x : x + c] = tile[0]
        return out

    def read_radiance(self, index: int) -> np.ndarray:
        """All images of an imageset, (L, S, S, 3) float32, linear."""
        codes = self.read_codes(index)
        out = np.empty(codes.shape, np.float32)
        decode_into(codes, out)
        return out

    def check(self) -> None:
        """Hold every stored chunk against its checksum, without unpacking it; FormatError names the first damaged one."""
        for name, chunks in self._chunks.items():
            for place in np.argwhere(chunks.size > 0).tolist():
                self._packed(name, tuple(place))

    def _unpack(self, name: str, place: tuple[int, ...], out: np.ndarray, room: np.ndarray | None = None) -> None:
        """Read, check and unpack one chunk; its place counts chunks along every axis.

        ``room`` is scratch memory for the packed bytes: reused from chunk to chunk, it stays in the processor's cache.
        """
        if not self._chunks[name].size[place]:
            out[...] = BLACK if name == "olat" else 0
            return
        packed = self._packed(name, place, room)
        try:
            unpack(packed.data, out, self.header.compression)
        except (ValueError, RuntimeError) as error:
            raise self._damaged(name, place, error) from error

    def _packed(self, name: str, place: tuple[int, ...], room: np.ndarray | None = None) -> np.ndarray:
        """The bytes of a stored chunk, held against its checksum."""
        chunks = self._chunks[name]
        size = int(chunks.size[place])
        packed = np.empty(size, np.uint8) if room is None else room[:size]
        file = self._open()
        try:
            file.read(int(chunks.offset[place]), packed)
            if checksum(packed) != int(chunks.sums[place]):
                raise ValueError("its checksum is wrong")
        except (OSError, ValueError) as error:
            raise self._damaged(name, place, error) from error
        return packed

    def _damaged(self, name: str, place: tuple[int, ...], error: Exception) -> FormatError:
        """What to say of a chunk that cannot be read, and how to get a whole one."""
        return FormatError(
            f"{self.path}: {name}, chunk {place} is damaged: {' '.join(str(error).split())}; build this shard again: "
            "delete it, then run build-shards with the same arguments and --overwrite"
        )

    def _open(self) -> OpenFile:
        """The open file; who reads holds it, so that :meth:`close` takes it from nobody."""
        file = self._file
        if file is None:
            file = self._file = OpenFile(os.open(self.path, os.O_RDONLY))
        return file

    @property
    def is_open(self) -> bool:
        """True if the reader holds an open file."""
        return self._file is not None

    def close(self) -> None:
        """Close the file as soon as no thread reads from it; it is opened again when needed."""
        self._file = None

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def __repr__(self) -> str:
        h = self.header
        return f"ShardReader('{self.path.name}', {h.count} imagesets of '{h.take}' from {h.first}, {h.size}x{h.size})"


def header_of(file: Any, path: Path) -> ShardHeader:
    """The header of an open shard."""
    attrs = file.attrs
    rig = rig_from_document(json.loads(attrs["rig"]), source=f"{path}, rig")
    fields: dict[str, Any] = {"rig": rig, "kappa": float(attrs["kappa"]), "notes": json.loads(attrs["notes"])}
    fields |= {name: str(attrs[name]) for name in ("schedule", "take", "subject", "compression", "digest")}
    fields |= {name: int(attrs[name]) for name in ("first", "count", "pairs", "size", "tile", "baked")}
    return ShardHeader(**fields)


def rest_digest(file: Any) -> str:
    """SHA-256 of everything in an open shard but the contents of its chunked datasets and of file structures."""
    digest = hashlib.sha256()
    for name in sorted(file.attrs):
        if name != "rest":
            digest.update(f"{name}={file.attrs[name]!r}\n".encode())
    names: list[str] = []
    file.visit(names.append)
    for name in sorted(names):
        item = file[name]
        if not hasattr(item, "chunks"):
            continue
        digest.update(f"{name} {item.shape} {item.dtype} {item.chunks}\n".encode())
        if item.chunks is None:
            digest.update(np.ascontiguousarray(item[()]).tobytes())
    return digest.hexdigest()


def _places(file: Any, name: str, header: ShardHeader) -> _Chunks:
    """Offsets and sizes of all chunks of a dataset, held against its shape and its checksums."""
    dataset, shape, chunk = file[name], header.shape(name), header.chunk(name)
    if dataset.shape != shape or dataset.chunks != chunk or dataset.dtype != TYPES[name]:
        raise ValueError(f"{name} is {dataset.dtype} {dataset.shape} in chunks {dataset.chunks}, expected "
                         f"{np.dtype(TYPES[name])} {shape} in chunks {chunk}")
    if compression_of(dataset) != header.compression:
        raise ValueError(f"{name} is compressed by {compression_of(dataset)}, expected {header.compression}")
    offset, size = chunk_places(dataset)
    sums = file["sums"][name][()].reshape(size.shape)
    if ((sums != 0) != (size != 0)).any():
        raise ValueError(f"{name} lacks chunks that have a checksum, or the reverse")
    return _Chunks(offset, size, sums)
