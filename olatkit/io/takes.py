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

import io
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import FormatError, OutputExistsError
from olatkit.imageset import Imageset
from olatkit.io import codes as radiance_codes
from olatkit.io.documents import rig_from_document, rig_to_document
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule, schedule_from_document, schedule_to_document

VERSION = 1
ROWS = ("quality", "observations", "weights_after", "reference_frames", "reference_ticks", "times_s")


@dataclass(frozen=True, eq=False)
class TakeHeader:
    """What all imagesets of a take share.

    ``shape`` is (H, W) of the picture, ``box`` (top, left, h, w) its stored region, ``encoding`` 'sqrt12',
    'float16' or 'float32', ``compression`` 'bitshuffle', 'gzip' or 'none', ``notes`` JSON-like provenance.
    """

    rig: LightRig
    schedule: LightingSchedule | None
    shape: tuple[int, int]
    box: tuple[int, int, int, int]
    frame_rate_hz: float
    encoding: str = "sqrt12"
    compression: str = "bitshuffle"
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stored_type(self) -> np.dtype:
        """Type of the stored radiance."""
        return np.dtype(np.uint16 if self.encoding == "sqrt12" else self.encoding)


@dataclass(frozen=True, eq=False)
class ImagesetRows:
    """What is stored of one imageset beside its lights, without the leading imageset axis."""

    full: np.ndarray
    quality: np.ndarray
    observations: np.ndarray
    weights_after: np.ndarray
    reference_frames: int
    reference_ticks: int
    times_s: float
    stats: Mapping[str, float]


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
        try:
            with self._lock:
                self._load(self._handle())
        except (KeyError, ValueError, OSError, TypeError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"{self.path}: damaged take: {error}") from error

    def _load(self, file: Any) -> None:
        attrs = file.attrs
        if attrs.get("format") != "olatkit-take":
            raise FormatError(f"{self.path}: not a take (no attribute format = olatkit-take)")
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
                raise FormatError(f"{self.path}: dataset '{name}' is missing")
        self.codes_shape = tuple(int(v) for v in file["codes"].shape)
        if self.codes_shape[2:4] != self.box[2:] or self.codes_shape[1] != len(self.rig):
            raise FormatError(
                f"{self.path}: codes have shape {self.codes_shape}, expected {len(self.rig)} lights and box {self.box[2:]}"
            )
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
        stored = self._read("codes", (self._index(index), lights))
        return radiance_codes.decode(stored) if self.encoding == "sqrt12" else stored.astype(np.float32)

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
            h5py = _h5py()
            if not self.path.is_file():
                raise FormatError(f"{self.path}: no such take")
            try:
                self._file = h5py.File(self.path, "r", locking=False)
            except OSError as error:
                raise FormatError(f"{self.path}: not an HDF5 file or damaged: {error}") from error
            self._pid = os.getpid()
        return self._file

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        with self._lock:
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


class PartWriter:
    """One imageset in its own file, lights written as they come; renamed when whole, to be merged later.

    Use as a context manager: :meth:`write_light` for every light, then :meth:`finish`. Without ``finish``, or after
    an error, nothing is left behind.
    """

    def __init__(self, path: Path, header: TakeHeader, digest: str) -> None:
        self._path = path
        self._temporary = path.with_name(path.name + ".part")
        self._header = header
        self._digest = digest
        self._whole = False

    def __enter__(self) -> "PartWriter":
        self._file = _new_file(self._temporary)
        self._open = self._file.__enter__()
        self._open.attrs["digest"] = self._digest
        shape = (len(self._header.rig), *self._header.box[2:], 3)
        self._codes = _empty(self._open, "codes", shape, self._header.stored_type, 1, self._header.compression)
        return self

    def write_light(self, light: int, image: np.ndarray) -> None:
        """Store the image (h, w, 3) of one light, in the header's encoding."""
        self._codes[light] = image

    def finish(self, rows: ImagesetRows) -> None:
        """Store everything but the lights; the file is whole when the context ends."""
        _chunked(self._open, "full", rows.full[None], self._header.compression)
        for name in ROWS:
            self._open.create_dataset(name, data=getattr(rows, name), track_times=False)
        stats = self._open.create_group("stats", track_order=False)
        for name in sorted(rows.stats):
            stats.create_dataset(name, data=float(rows.stats[name]), track_times=False)
        self._whole = True

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self._file.__exit__(kind, error, trace)
            if self._whole and kind is None:
                self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)


def write_part(path: Path, codes: np.ndarray, rows: ImagesetRows, header: TakeHeader, digest: str) -> None:
    """Write one imageset whose lights (L, h, w, 3) are all at hand, as :class:`PartWriter` does."""
    with PartWriter(path, header, digest) as part:
        for light, image in enumerate(codes):
            part.write_light(light, image)
        part.finish(rows)


def part_is_whole(path: Path, digest: str) -> bool:
    """True if ``path`` is a finished part of the run ``digest``; a damaged or foreign one is not."""
    if not path.is_file():
        return False
    try:
        with _h5py().File(path, "r", locking=False) as file:
            return file.attrs.get("digest") == digest and all(name in file for name in ("codes", "full", *ROWS))
    except (OSError, RuntimeError, ValueError):
        return False


def merge_parts(parts: Sequence[Path], path: Path, header: TakeHeader, *, overwrite: bool = False) -> None:
    """Join the parts of a take in order; compressed chunks are copied as they are.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and ``overwrite`` is False.
    FormatError
        If a part is damaged.
    """
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists; choose another name or pass --overwrite")
    h5py = _h5py()
    temporary = path.with_name(path.name + ".part")
    n, (height, width), lights = len(parts), header.box[2:], len(header.rig)
    with _new_file(temporary) as file:
        _write_attributes(file, header)
        codes = _empty(file, "codes", (n, lights, height, width, 3), header.stored_type, 2, header.compression)
        full = _empty(file, "full", (n, height, width, 3), np.float32, 1, header.compression)
        rows: dict[str, list] = {name: [] for name in ROWS}
        stats: dict[str, list[float]] = {}
        for i, part in enumerate(parts):
            try:
                with h5py.File(part, "r", locking=False) as source:
                    for light in range(lights):
                        mask, data = source["codes"].id.read_direct_chunk((light, 0, 0, 0))
                        codes.id.write_direct_chunk((i, light, 0, 0, 0), data, mask)
                    mask, data = source["full"].id.read_direct_chunk((0, 0, 0, 0))
                    full.id.write_direct_chunk((i, 0, 0, 0), data, mask)
                    for name in ROWS:
                        rows[name].append(source[name][()])
                    for name in source["stats"]:
                        stats.setdefault(name, []).append(float(source["stats"][name][()]))
            except (OSError, KeyError, RuntimeError, ValueError) as error:
                raise FormatError(f"{part}: damaged part: {error}; delete it and run again") from error
        for name in ROWS:
            file.create_dataset(name, data=np.array(rows[name]), track_times=False)
        group = file.create_group("stats", track_order=False)
        for name in sorted(stats):
            group.create_dataset(name, data=np.array(stats[name]), track_times=False)
    temporary.replace(path)


class _Outlet(io.FileIO):
    """A file for HDF5 to write to; a write that fails is remembered instead of raised.

    HDF5 cannot close a file that it cannot write to: it leaves it open and crashes when the process ends.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of ``data``, or remember why not."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while len(rest) and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file, or remember why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


@contextmanager
def _new_file(path: Path) -> Iterator[Any]:
    """An HDF5 file to fill; removed again if it cannot be written whole."""
    try:
        with _Outlet(path, "w+") as outlet:
            with _h5py().File(outlet, "w", libver=("earliest", "v110")) as file:
                yield file
            if outlet.error is not None:
                raise OSError(outlet.error.errno, f"cannot be written: {outlet.error.strerror}", str(path))
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write_attributes(file: Any, header: TakeHeader) -> None:
    """All attributes; JSON with sorted keys, nothing that changes from run to run."""
    schedule = "" if header.schedule is None else json.dumps(schedule_to_document(header.schedule))
    file.attrs["format"] = "olatkit-take"
    file.attrs["version"] = VERSION
    file.attrs["rig"] = json.dumps(rig_to_document(header.rig))
    file.attrs["schedule"] = schedule
    file.attrs["shape"] = np.array(header.shape, np.int64)
    file.attrs["box"] = np.array(header.box, np.int64)
    file.attrs["frame_rate_hz"] = header.frame_rate_hz
    file.attrs["encoding"] = header.encoding
    file.attrs["curve"] = radiance_codes.CURVE if header.encoding == "sqrt12" else "linear"
    file.attrs["notes"] = json.dumps(header.notes, sort_keys=True)


def _filters(compression: str) -> dict[str, Any]:
    if compression == "bitshuffle":
        import hdf5plugin

        return dict(hdf5plugin.Bitshuffle(cname="lz4"))
    return {"gzip": {"compression": "gzip", "compression_opts": 4, "shuffle": True}, "none": {}}[compression]


def _empty(file: Any, name: str, shape: tuple[int, ...], kind: Any, leading: int, compression: str) -> Any:
    """A dataset with one chunk per item of its ``leading`` axes."""
    chunks = (1,) * leading + shape[leading:]
    return file.create_dataset(name, shape, kind, chunks=chunks, track_times=False, **_filters(compression))


def _chunked(file: Any, name: str, data: np.ndarray, compression: str) -> None:
    """A dataset with one chunk per item of the first axis."""
    dataset = _empty(file, name, data.shape, data.dtype, 1, compression)
    for i in range(len(data)):
        dataset[i] = data[i]


def _h5py() -> Any:
    import h5py
    import hdf5plugin  # noqa: F401  registers the bitshuffle filter

    return h5py
