"""Shards written: each by one task, chunk by chunk in a fixed order, renamed when whole."""

import hashlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.io.checksums import checksum
from olatkit.io.chunks import filters, pack
from olatkit.io.codes import BLACK, CURVE
from olatkit.io.documents import rig_to_document
from olatkit.io.hdf5_files import new_file
from olatkit.io.shards import ROWS, TYPES, VERSION, ShardHeader, rest_digest


class ShardWriter:
    """One shard to be filled; it appears under its name when whole, and not at all after an error.

    Use as a context manager: write every imageset and pair in order, then :meth:`finish`. The bytes depend on nothing
    but what is written. The file grows under a name of this process, so that a worker that was given up and comes
    back cannot spoil what another one writes.
    """

    def __init__(self, path: Path, header: ShardHeader) -> None:
        self._path, self._header = path, header
        self._temporary = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}-{id(self):x}.part")
        self._whole = False

    def __enter__(self) -> "ShardWriter":
        self._context = new_file(self._temporary)
        self._file = self._context.__enter__()
        self._sums: dict[str, np.ndarray] = {}
        self._data: dict[str, Any] = {}
        for name in self._header.names:
            shape, chunk = self._header.shape(name), self._header.chunk(name)
            self._data[name] = self._file.create_dataset(
                name, shape, TYPES[name], chunks=chunk, track_times=False, fillvalue=BLACK if name == "olat" else 0,
                **filters(self._header.compression),
            )
            self._sums[name] = np.zeros([-(-a // b) for a, b in zip(shape, chunk, strict=True)], np.uint64)
        return self

    def write_olat(self, index: int, codes: np.ndarray) -> int:
        """Store the codes (L, S, S, 3) uint16 of an imageset; returns how many of its tiles hold any light."""
        c, stored = self._header.tile, 0
        for y in range(0, self._header.size, c):
            for x in range(0, self._header.size, c):
                tile = codes[:, y : y + c, x : x + c]
                if (tile != BLACK).any():
                    self._store("olat", (index, 0, y, x, 0), tile)
                    stored += 1
        return stored

    def write(self, name: str, index: int | tuple[int, int], picture: np.ndarray) -> None:
        """Store one picture of another dataset; ``index`` is (pair, k) for ``baked``."""
        at = index if isinstance(index, tuple) else (index,)
        self._store(name, at + (0,) * picture.ndim, picture)

    def _store(self, name: str, offset: tuple[int, ...], values: np.ndarray) -> None:
        chunk = self._header.chunk(name)
        packed = pack(np.asarray(values, TYPES[name]).reshape(chunk), self._header.compression)
        self._data[name].id.write_direct_chunk(offset, packed)
        place = tuple(a // b for a, b in zip(offset, chunk, strict=True))
        self._sums[name][place] = checksum(np.frombuffer(packed, np.uint8))

    def finish(self, rows: dict[str, np.ndarray], baked_lights: np.ndarray | None = None) -> None:
        """Store ``quality``, ``obs``, ``r`` and attributes; the shard is whole when the context ends."""
        header = self._header
        for name in ROWS:
            self._file.create_dataset(name, data=rows[name], track_times=False)
        if baked_lights is not None:
            self._file.create_dataset("baked_lights", data=np.asarray(baked_lights, np.float32), track_times=False)
        group = self._file.create_group("sums", track_order=False)
        for name, sums in self._sums.items():
            group.create_dataset(name, data=sums, track_times=False)
        attributes = {
            "format": "olatkit-shard", "version": VERSION, "rig": json.dumps(rig_to_document(header.rig)),
            "schedule": header.schedule, "take": header.take, "subject": header.subject, "first": header.first,
            "count": header.count, "pairs": header.pairs, "size": header.size, "tile": header.tile,
            "kappa": header.kappa, "baked": header.baked, "compression": header.compression, "curve": CURVE,
            "digest": header.digest, "notes": json.dumps(header.notes, sort_keys=True),
        }
        for name, value in attributes.items():
            self._file.attrs[name] = value
        self._file.attrs["rest"] = rest_digest(self._file)
        self._whole = True

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self._context.__exit__(kind, error, trace)
            if self._whole and kind is None:
                self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
