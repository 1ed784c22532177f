"""Streams from a NumPy file or a headerless raw file, described by a JSON sidecar."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.cine import decode_pixels
from olatkit.io.cine_header import packed_size
from olatkit.io.sidecar import Sidecar, make_stream, read_sidecar
from olatkit.io.sources import ArrayStream

_PACKING_OF_DTYPE = {"|u1": "u8", "<u2": "u16", "<f4": "f32"}
_DTYPE_OF_PACKING = {"u8": np.uint8, "u16": np.uint16, "f32": np.float32, "p10": np.uint16, "p12l": np.uint16}


@dataclass(frozen=True)
class RawFrames:
    """Frames that lie one after the other in a file, read on demand.

    Attributes
    ----------
    path : Path
        The file; opened for every slice, so instances may be shared between threads and pickled.
    offset : int
        Byte where the first frame starts.
    packing : str
        'u8', 'u16', 'f32', 'p10' or 'p12l'.
    shape : tuple
        (N, H, W) or (N, H, W, 3).
    """

    path: Path
    offset: int
    packing: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(_DTYPE_OF_PACKING[self.packing])

    @property
    def frame_bytes(self) -> int:
        return _frame_bytes(math.prod(self.shape[1:]), self.packing)

    def __getitem__(self, frames: slice) -> np.ndarray:
        start, stop, _ = frames.indices(self.shape[0])
        count, size = stop - start, self.frame_bytes
        stored = np.fromfile(self.path, np.uint8, count * size, offset=self.offset + start * size)
        if stored.size != count * size:
            raise FormatError(f"{self.path}: ends within frame {start + stored.size // size}: truncated since opened?")
        if self.packing not in ("p10", "p12l"):
            return stored.view(self.dtype).reshape(count, *self.shape[1:])
        out = np.empty((count, *self.shape[1:]), np.uint16)
        for pixels, frame in zip(stored.reshape(count, size), out, strict=True):
            decode_pixels(pixels, self.packing, frame)
        return out


def open_raw(path: str | os.PathLike[str]) -> ArrayStream:
    """Open ``NAME.npy`` or a raw file ``NAME.*`` with ``NAME.json`` beside it.

    Parameters
    ----------
    path : path-like
        A .npy file (N, H, W) or (N, H, W, 3) of uint8, uint16 or float32 in C order, linear in light; any other
        suffix means mono or Bayer frames without gaps, whose number follows from the size of the file. The keys of
        the sidecar are described in :mod:`olatkit.io.sidecar`.

    Raises
    ------
    FormatError
        If the sidecar is missing, or the two do not fit together.
    """
    path = Path(path)
    sidecar_path = path.with_suffix(".json")
    sidecar = read_sidecar(sidecar_path)
    if sidecar.transfer not in (None, "linear"):
        raise FormatError(f"{sidecar_path}: transfer is {sidecar.transfer!r}, but arrays are linear; leave it out")
    frames = _parse_npy(path) if path.suffix.lower() == ".npy" else _parse_raw(path, sidecar, sidecar_path)
    return make_stream(frames, sidecar, path, sidecar_path)


def _frame_bytes(values: int, packing: str) -> int:
    return 4 * values if packing == "f32" else packed_size(values, packing)


def _parse_npy(path: Path) -> RawFrames:
    """Frames of a .npy file, its header and size checked."""
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            else:
                shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
            offset = file.tell()
    except (OSError, ValueError, EOFError) as error:
        raise FormatError(f"{path}: not a NumPy file: {str(error).splitlines()[0]}") from None
    packing = _PACKING_OF_DTYPE.get(dtype.str)
    if packing is None or fortran or len(shape) not in (3, 4) or min(shape) < 1:
        raise FormatError(
            f"{path}: array {shape} of {dtype}{' in Fortran order' if fortran else ''}, expected (N, H, W) or "
            "(N, H, W, 3) of uint8, uint16 or float32, little endian, in C order"
        )
    size = offset + _frame_bytes(math.prod(shape), packing)
    if path.stat().st_size != size:
        raise FormatError(f"{path}: has {path.stat().st_size} bytes, expected {size} for an array {shape}: truncated?")
    return RawFrames(path, offset, packing, shape)


def _parse_raw(path: Path, sidecar: Sidecar, sidecar_path: Path) -> RawFrames:
    """Frames of a headerless file; their number follows from its size."""
    if sidecar.width is None or sidecar.height is None or sidecar.packing is None:
        raise FormatError(f"{sidecar_path}: needs width, height and packing to describe {path.name}")
    if sidecar.packing not in ("u8", "u16", "p10", "p12l"):
        raise FormatError(f"{sidecar_path}: packing is {sidecar.packing!r}, expected 'u8', 'u16', 'p10' or 'p12l'")
    try:
        frame_bytes = packed_size(sidecar.width * sidecar.height, sidecar.packing)
    except ValueError as error:
        raise FormatError(f"{sidecar_path}: {error}") from None
    size = path.stat().st_size - sidecar.header_bytes
    if size < frame_bytes or size % frame_bytes:
        raise FormatError(
            f"{path}: {size} bytes of frames, expected a multiple of {frame_bytes} ({sidecar.width}x{sidecar.height} "
            f"pixels {sidecar.packing}): truncated, or another size?"
        )
    shape = (size // frame_bytes, sidecar.height, sidecar.width)
    return RawFrames(path, sidecar.header_bytes, sidecar.packing, shape)
