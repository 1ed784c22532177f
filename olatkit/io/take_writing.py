"""Takes written: one part file per imageset, made by any worker in any order, then merged by one writer.

A part holds what :mod:`olatkit.io.takes` describes, without the leading imageset axis.
"""

import json
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import FormatError
from olatkit.io import codes as radiance_codes
from olatkit.io.chunks import pack
from olatkit.io.documents import rig_to_document
from olatkit.io.hdf5_files import empty_dataset, hdf5, new_file
from olatkit.io.outputs import refuse_existing
from olatkit.io.takes import ROWS, VERSION
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule, schedule_to_document


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
        self._file = new_file(self._temporary)
        self._open = self._file.__enter__()
        self._open.attrs["digest"] = self._digest
        shape = (len(self._header.rig), *self._header.box[2:], 3)
        self._codes = empty_dataset(self._open, "codes", shape, self._header.stored_type, 1, self._header.compression)
        return self

    def write_light(self, light: int, image: np.ndarray) -> None:
        """Store the image (h, w, 3) of one light, in the header's encoding."""
        chunk = pack(np.asarray(image, self._header.stored_type), self._header.compression)
        self._codes.id.write_direct_chunk((light, 0, 0, 0), chunk)

    def finish(self, rows: ImagesetRows) -> None:
        """Store everything but the lights; the file is whole when the context ends."""
        full = empty_dataset(self._open, "full", (1, *rows.full.shape), np.float32, 1, self._header.compression)
        full[0] = rows.full
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
        with hdf5().File(path, "r", locking=False) as file:
            return file.attrs.get("digest") == digest and all(name in file for name in ("codes", "full", *ROWS))
    except (OSError, RuntimeError, ValueError):
        return False


def merge_parts(
    parts: Sequence[Path], path: Path, header: TakeHeader, *, overwrite: bool = False,
    mark: Callable[[Path], object] | None = None,
) -> None:
    """Join the parts of a take in order; compressed chunks are copied as they are.

    ``mark`` is called with the file when it is whole, just before it is renamed to ``path``.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and ``overwrite`` is False.
    FormatError
        If a part is damaged.
    """
    refuse_existing(path, overwrite=overwrite)
    h5py = hdf5()
    temporary = path.with_name(path.name + ".part")
    n, (height, width), lights = len(parts), header.box[2:], len(header.rig)
    with new_file(temporary) as file:
        _write_attributes(file, header)
        codes = empty_dataset(file, "codes", (n, lights, height, width, 3), header.stored_type, 2, header.compression)
        full = empty_dataset(file, "full", (n, height, width, 3), np.float32, 1, header.compression)
        rows: dict[str, list] = {name: [] for name in ROWS}
        stats: dict[str, list[float]] = {}
        for i, part in enumerate(parts):
            try:
                with h5py.File(part, "r", locking=False) as source, _mapped(part) as data:
                    _copy_chunks(source["codes"], data, codes, [((k, 0, 0, 0), (i, k, 0, 0, 0)) for k in range(lights)])
                    _copy_chunks(source["full"], data, full, [((0, 0, 0, 0), (i, 0, 0, 0))])
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
    if mark is not None:
        mark(temporary)
    temporary.replace(path)


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    """The bytes of a file, without reading them into memory first."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        memoryview(data) as view,
    ):
        yield view


def _copy_chunks(source: Any, data: memoryview, target: Any, places: list[tuple[tuple, tuple]]) -> None:
    """Copy stored chunks from a dataset in a file of bytes ``data``, from one place each to another."""
    for old, new in places:
        chunk = source.id.get_chunk_info_by_coord(old)
        if chunk.size == 0 or chunk.byte_offset + chunk.size > len(data):
            raise ValueError(f"the chunk at {old} is not in the file")
        with data[chunk.byte_offset : chunk.byte_offset + chunk.size] as stored:
            target.id.write_direct_chunk(new, stored, chunk.filter_mask)


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
