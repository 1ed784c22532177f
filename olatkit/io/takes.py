"""Takes on disk: ``NAME.olat.h5``, the imagesets of one capture with all that is known about them.

Layout, version 1 (N imagesets, L lights, a region of interest of h x w pixels inside H x W):

====================  =========================  ==========================================================
``codes``             (N, L, h, w, 3) uint16     radiance codes of :mod:`olatkit.io.codes`, one light per chunk
``full``              (N, h, w, 3) float32       tracking frame at the instant divided by its drive
``quality``           (N, L) uint8               bits of :mod:`olatkit.imageset`
``observations``      (N, L, 2) int32            ticks after and before the instant, or -2147483648
``weights_after``     (N, L) float32             weight of the later observation
``reference_frames``  (N,) int64                 index of the reference frame in the capture file, -1 if virtual
``reference_ticks``   (N,) int64                 tick of the camera clock
``times_s``           (N,) float64               seconds from the first frame
``stats/NAME``        (N,) float64               numbers for the report
====================  =========================  ==========================================================

``codes`` may also be float16 or float32 radiance. Attributes hold rig and schedule as JSON, the picture size and
box, and everything the capture step decided. Nothing depends on the date or the machine, so equal inputs give
equal bytes.
"""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import FormatError
from olatkit.imageset import Imageset
from olatkit.io import codes as radiance_codes
from olatkit.io.chunk_places import OpenFile, chunk_places
from olatkit.io.chunks import compression_of, unpack
from olatkit.io.documents import rig_from_document
from olatkit.io.hdf5_files import hdf5
from olatkit.io.kinds import kind_of_hdf5, why_no_take
from olatkit.schedule import schedule_from_document
from olatkit.wording import counted

VERSION = 1
ROWS = ("quality", "observations", "weights_after", "reference_frames", "reference_ticks", "times_s")


def open_take(path: str | os.PathLike[str]) -> "Take":
    """Open a take for reading.

    Returns
    -------
    Take
        ``len(take)`` imagesets; ``take[i]`` reads one. Safe to share between threads and to pickle.

    Raises
    ------
    FormatError
        Not a take, damaged, or written by a newer version.
    """
    return Take(path)


class Take(Sequence[Imageset]):
    """A take on disk; imagesets are read one at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._file: Any = None
        self._pid = -1
        self._codes: tuple[OpenFile, np.ndarray, np.ndarray] | None = None
        try:
            with self._lock:
                self._load(self._handle())
        except (KeyError, ValueError, OSError, TypeError) as error:
            if isinstance(error, FormatError | PermissionError):
                raise
            raise FormatError(f"{self.path}: damaged take: {error}") from error

    def _load(self, file: Any) -> None:
        attrs = file.attrs
        if attrs.get("format") != "olatkit-take":
            raise FormatError(
                f"{self.path}: not a take (no attribute format = olatkit-take) but {kind_of_hdf5(file)}"
            )
        if int(attrs["version"]) > VERSION:
            raise FormatError(
                f"{self.path}: take version {attrs['version']}, this olatkit reads up to {VERSION}; update it"
            )
        self.rig = rig_from_document(json.loads(attrs["rig"]), source=f"{self.path}, rig")
        text = attrs["schedule"]
        self.schedule = schedule_from_document(json.loads(text), source=f"{self.path}, schedule") if text else None
        self.shape = tuple(int(v) for v in attrs["shape"])
        self.box = tuple(int(v) for v in attrs["box"])
        self.frame_rate_hz = float(attrs["frame_rate_hz"])
        self.encoding = str(attrs["encoding"])
        self.notes: dict[str, Any] = json.loads(attrs["notes"])
        for name in ("codes", "full", *ROWS):
            if name not in file:
                what = " (pictures of the tracking light)" if name == "full" else ""
                raise FormatError(
                    f"{self.path}: dataset '{name}'{what} is missing, the take is not whole; copy it again, or make it "
                    "again with ingest, import or simulate"
                )
        self.codes_shape = tuple(int(v) for v in file["codes"].shape)
        if self.codes_shape[2:4] != self.box[2:] or self.codes_shape[1] != len(self.rig):
            raise FormatError(
                f"{self.path}: codes have shape {self.codes_shape}, expected {counted(len(self.rig), 'light')} and "
                f"box {self.box[2:]}"
            )
        if file["codes"].chunks != (1, 1, *self.box[2:], 3):
            raise FormatError(f"{self.path}: codes lie in chunks {file['codes'].chunks}, expected one for every light")
        self._stored_type = file["codes"].dtype
        self._compression = compression_of(file["codes"])
        self.quality = file["quality"][:]
        self.observations = file["observations"][:]
        self.weights_after = file["weights_after"][:]
        self.reference_frames = file["reference_frames"][:]
        self.reference_ticks = file["reference_ticks"][:]
        self.times_s = file["times_s"][:]
        self.stats = {name: file["stats"][name][:] for name in file.get("stats", {})}

    def __len__(self) -> int:
        return self.codes_shape[0]

    def __getitem__(self, index: int) -> Imageset:  # type: ignore[override]
        """Read imageset ``index`` (negative counts from the end), full frame, zeros outside the box."""
        i = self._index(index)
        height, width = self.shape
        radiance = np.zeros((len(self.rig), height, width, 3), np.float32)
        top, left, h, w = self.box
        radiance[:, top : top + h, left : left + w] = self.read_box(i)
        full = np.zeros((height, width, 3), np.float32)
        full[top : top + h, left : left + w] = self.read_full(i)
        provenance = (("take", self.path.name), ("reference_frame", str(int(self.reference_frames[i]))))
        return Imageset(radiance, full, float(self.times_s[i]), self.quality[i], provenance)

    def __iter__(self) -> Iterator[Imageset]:
        return (self[i] for i in range(len(self)))

    def read_box(self, index: int, lights: slice = slice(None)) -> np.ndarray:
        """Radiance of the box only, shape (L, h, w, 3), float32; all lights or a slice of them."""
        i = self._index(index)
        wanted = range(len(self.rig))[lights]
        out = np.empty((len(wanted), *self.box[2:], 3), np.float32)
        stored = np.empty(out.shape[1:], self._stored_type)
        for row, light in zip(out, wanted, strict=True):
            self._read_light(i, light, stored)
            if self.encoding == "sqrt12":
                radiance_codes.decode_into(stored, row)
            else:
                row[...] = stored
        return out

    def read_codes(self, index: int, lights: slice = slice(None)) -> np.ndarray:
        """The same as it is stored: uint16 codes of :mod:`olatkit.io.codes` if ``encoding`` is 'sqrt12', else floats."""
        i = self._index(index)
        wanted = range(len(self.rig))[lights]
        stored = np.empty((len(wanted), *self.box[2:], 3), self._stored_type)
        for row, light in zip(stored, wanted, strict=True):
            self._read_light(i, light, row)
        return stored

    def _read_light(self, index: int, light: int, stored: np.ndarray) -> None:
        """Fill ``stored`` with one light's chunk; HDF5 only says once where all lie, so that no thread waits for it."""
        try:
            file, offset, size = self._code_places()
            packed = np.empty(size[index, light], np.uint8)
            if not packed.size:
                raise ValueError("it is not stored")
            file.read(int(offset[index, light]), packed)
            unpack(packed.data, stored, self._compression)
        except (OSError, ValueError, RuntimeError) as error:
            raise FormatError(
                f"{self.path}: imageset {index}, light {light} cannot be read, the file is damaged: {error}"
            ) from error

    def _code_places(self) -> tuple[OpenFile, np.ndarray, np.ndarray]:
        """The file to read codes from and their offsets and sizes in it, (N, L); a fork may go on with its parent's."""
        with self._lock:
            if self._codes is None:
                file = self._handle()
                if file["codes"].shape != self.codes_shape:
                    raise ValueError("another take lies there by now")
                offset, size = (table[:, :, 0, 0, 0] for table in chunk_places(file["codes"]))
                # HDF5's own descriptor: another take may lie at the path by now.
                self._codes = OpenFile(os.dup(file.id.get_vfd_handle())), offset, size
            return self._codes

    def read_full(self, index: int) -> np.ndarray:
        """Fully lit picture of the box, shape (h, w, 3), float32: all lights at single-light drive."""
        return self._read("full", self._index(index))

    def _read(self, name: str, key: Any) -> np.ndarray:
        with self._lock:
            try:
                return self._handle()[name][key]
            except OSError as error:
                raise FormatError(f"{self.path}: {name}{key} cannot be read, the file is damaged: {error}") from error

    def _index(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: imageset {index} is outside 0 to {len(self) - 1}")
        return index % len(self)

    def _handle(self) -> Any:
        """The open file; opened anew in every process, since HDF5 handles do not survive a fork."""
        if self._file is None or self._pid != os.getpid():
            h5py = hdf5()
            if not self.path.exists():
                raise FormatError(f"{self.path}: no such take")
            why = why_no_take(self.path)
            if why:
                raise FormatError(f"{self.path}: {why}")
            try:
                self._file = h5py.File(self.path, "r", locking=False)
            except OSError as error:
                raise FormatError(f"{self.path}: damaged take: {error}; copy it again") from error
            self._pid = os.getpid()
        return self._file

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        with self._lock:
            self._codes = None
            if self._file is not None:
                self._file.close()
                self._file = None

    def __enter__(self) -> "Take":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def __repr__(self) -> str:
        height, width = self.shape
        return (
            f"Take('{self.path.name}', {len(self)} imagesets, {len(self.rig)} lights, {width}x{height}, box {self.box})"
        )
