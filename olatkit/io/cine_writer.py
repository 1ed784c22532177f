"""Write Phantom .cine files that this package and other readers open; frames go to disk one by one."""

import os
import struct
from collections.abc import Iterable, Sized
from operator import index
from typing import BinaryIO

import numpy as np

from olatkit.io import p10
from olatkit.io.cine_header import ANNOTATION_BYTES, MAX_SIDE_PX, packed_size
from olatkit.io.cine_layout import (
    BI_COMPRESSION,
    CFA_OF_BAYER,
    HEADER_BYTES,
    SETUP_BYTES,
    Recording,
    make_bitmap_header,
    make_file_header,
    make_metadata,
)
from olatkit.io.outputs import whole_file

_DEFAULT_BITS = {"u8": 8, "u16": 16, "p10": 12, "p12l": 12}
_P10_CODES = p10.make_code_table()


def write_cine(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    *,
    frame_rate_hz: float,
    bayer: str | None = None,
    packing: str = "p12l",
    bits: int | None = None,
    black_level: int | None = None,
    white_level: int | None = None,
    times_s: np.ndarray | None = None,
    exposure_s: np.ndarray | float | None = None,
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0),
    trigger_time_s: float = 0.0,
    camera: str = "",
    serial: int = 0,
    overwrite: bool = False,
) -> None:
    """Write a .cine file, streaming its frames.

    Parameters
    ----------
    path : path-like
        The file; it appears when it is whole.
    frames : iterable of ndarray, shape (H, W), integer
        Sensor values 0 to 2^bits - 1, linear, rows top-down; taken one at a time.
    frame_rate_hz : float
        Nominal rate, above 0.
    bayer : {'gbrg', 'rggb', 'grbg', 'bggr'}, optional
        Pattern of the top-left 2x2 pixels; None for mono.
    packing : {'p12l', 'p10', 'u16', 'u8'}
        P12L needs an even number of pixels in a frame and keeps 12 bits. P10 needs a multiple of four and takes
        12-bit linear values: entries of its curve (:data:`olatkit.io.p10.LINEAR_OF_CODE`) are kept exactly, others
        are rounded to the nearest entry, which costs up to 4 steps below white level.
    bits : int, optional
        Significant bits; 'u16' takes 8 to 16 (default 16), the others have their own.
    black_level, white_level : int, optional
        Values that mean no light and full scale; default 0 and 2^bits - 1. P10 allows only 64 and 4064.
    times_s : ndarray, shape (N,), optional
        Times of the frames in seconds, rising, counted from the trigger; stored in steps of 2^-32 s. Without them the
        file has no timestamps and its rate counts.
    exposure_s : float or ndarray, shape (N,), optional
        Exposure times, 0 to 1 s; an array needs ``times_s`` or a ``frames`` with a length.
    white_balance : tuple of 3 floats
        Gains R, G, B to record; the format stores R/G and B/G in float32.
    trigger_time_s : float
        Time of the trigger in seconds since 1970.
    camera, serial
        Model and serial number to record.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    ValueError
        If an argument or a frame does not fit this description; no file is left behind.
    OutputExistsError
        If the file exists and ``overwrite`` is false.

    Notes
    -----
    If the number of frames is known at the start, from ``times_s`` or ``len(frames)``, the header comes first as in
    files of the camera. Otherwise the header fields follow the frames; the format allows that up to 4 GiB.
    """
    if packing not in BI_COMPRESSION:
        raise ValueError(f"packing is {packing!r}, expected one of {tuple(BI_COMPRESSION)}")
    bits = _check_bits(packing, bits)
    trigger_ticks = _to_ticks(np.array([trigger_time_s]), 64, "trigger_time_s")[0]
    count = len(times_s) if times_s is not None else len(frames) if isinstance(frames, Sized) else None
    if bayer not in CFA_OF_BAYER:
        raise ValueError(f"bayer is {bayer!r}, expected one of {tuple(CFA_OF_BAYER)}")
    if not (np.isfinite(frame_rate_hz) and 0 < frame_rate_hz < 2**32):
        raise ValueError(f"frame_rate_hz is {frame_rate_hz}, expected a rate above 0")
    if len(white_balance) != 3 or not (np.isfinite(white_balance).all() and min(white_balance) > 0):
        raise ValueError(f"white_balance is {white_balance}, expected three gains above 0")
    if not 0 <= index(serial) < 2**32:
        raise ValueError(f"serial is {serial}, expected 0 to {2**32 - 1}")
    recording = Recording(
        packing=packing,
        bits=bits,
        bayer=bayer,
        frame_rate_hz=float(frame_rate_hz),
        levels=_check_levels(packing, bits, black_level, white_level),
        white_balance=white_balance,
        time_ticks=_time_ticks(times_s, int(trigger_ticks)),
        exposure_ticks=_exposure_ticks(exposure_s, count),
        trigger_ticks=int(trigger_ticks),
        camera=camera,
        serial=serial,
    )
    with whole_file(path, overwrite=overwrite) as part, open(part, "wb") as file:
        _write(file, frames, count, recording)


def _write(file: BinaryIO, frames: Iterable[np.ndarray], count: int | None, recording: Recording) -> None:
    """Leave room for the metadata if their size is known, write the frames, then the metadata."""
    at_frames = HEADER_BYTES + (0 if count is None else len(make_metadata(count, recording)) + 8 * count)
    file.seek(at_frames)
    shape: tuple[int, ...] | None = None
    written = size = 0
    for frame in frames:
        frame = np.asarray(frame)
        if shape is None:
            shape = _check_shape(frame.shape, recording.packing)
            size = packed_size(shape[0] * shape[1], recording.packing)
        _check_frame(frame, written, shape, recording.bits)
        if written == count:
            raise ValueError(f"more than {count} frames, expected one for each of times_s or len(frames)")
        file.write(struct.pack("<II", ANNOTATION_BYTES, size))
        file.write(_pack(frame, recording.packing).tobytes())
        written += 1
    if shape is None or count not in (None, written):
        raise ValueError(f"got {written} frames, expected {count or 'at least one'}")
    at_setup = HEADER_BYTES if count is not None else file.tell()
    if at_setup + SETUP_BYTES + 64 >= 2**32:
        raise ValueError("frames of unknown number beyond 4 GiB: give times_s, or a sequence as frames")
    offsets = at_frames + np.arange(written, dtype="<u8") * (size + ANNOTATION_BYTES)
    metadata = make_metadata(written, recording)
    file.seek(at_setup)
    file.write(metadata + offsets.tobytes())
    file.seek(0)
    file.write(make_file_header(written, at_setup, at_setup + len(metadata), recording))
    file.write(make_bitmap_header(shape, size, recording))


def _check_bits(packing: str, bits: int | None) -> int:
    default = _DEFAULT_BITS[packing]
    bits = default if bits is None else bits
    if bits != default and not (packing == "u16" and 8 <= bits <= 16):
        raise ValueError(f"bits is {bits}, expected {'8 to 16' if packing == 'u16' else default} for {packing}")
    return bits


def _check_levels(packing: str, bits: int, black: int | None, white: int | None) -> tuple[int, int]:
    """Levels in units of linear values, filled in and checked."""
    fixed = (p10.BLACK_LEVEL, p10.WHITE_LEVEL)
    default = fixed if packing == "p10" else (0, 2**bits - 1)
    black = default[0] if black is None else index(black)
    white = default[1] if white is None else index(white)
    if packing == "p10" and (black, white) != fixed:
        raise ValueError(f"black and white level are {black}, {white}, but the curve of P10 fixes {fixed}")
    if not 0 <= black < white < 2**bits:
        raise ValueError(f"black and white level are {black}, {white}, expected 0 <= black < white < {2**bits}")
    return black, white


def _to_ticks(seconds: np.ndarray, word: int, field: str) -> np.ndarray:
    """Seconds to steps of 2^-32 s as unsigned words of 32 or 64 bits; ValueError if they do not fit."""
    whole = np.floor(seconds)  # apart from the fraction, which keeps all bits of both
    if not (np.isfinite(seconds).all() and (whole >= 0).all() and (whole < 2.0 ** (word - 32)).all()):
        raise ValueError(f"{field} from {np.min(seconds)} to {np.max(seconds)}, expected 0 to {2 ** (word - 32)} s")
    fraction = np.round((seconds - whole) * 2.0**32)
    if word == 32:
        fraction = np.minimum(fraction, 2.0**32 - 1)
    return (whole.astype(np.uint64) << np.uint64(32)) + fraction.astype(np.uint64)


def _time_ticks(times_s: np.ndarray | None, trigger_ticks: int) -> np.ndarray | None:
    if times_s is None:
        return None
    times_s = np.asarray(times_s, np.float64)
    if times_s.ndim != 1 or not len(times_s):
        raise ValueError(f"times_s has shape {times_s.shape}, expected (N,), one time per frame")
    ticks = _to_ticks(times_s, 64, "times_s") + np.uint64(trigger_ticks)
    if (ticks[1:] <= ticks[:-1]).any():
        frame = int(np.argmax(ticks[1:] <= ticks[:-1])) + 1
        raise ValueError(f"times_s must rise; it does not at frame {frame} ({times_s[frame]} s)")
    return ticks


def _exposure_ticks(exposure_s: np.ndarray | float | None, count: int | None) -> np.ndarray | None:
    """Ticks of every frame, or one value (shape ()) for all."""
    if exposure_s is None:
        return None
    exposure_s = np.asarray(exposure_s, np.float64)
    if exposure_s.shape not in ((), (count,)):
        raise ValueError(f"exposure_s has shape {exposure_s.shape}, expected one value or one per frame ({count})")
    return _to_ticks(exposure_s, 32, "exposure_s").astype("<u4")


def _check_shape(shape: tuple[int, ...], packing: str) -> tuple[int, ...]:
    if len(shape) != 2 or not all(1 <= side <= MAX_SIDE_PX for side in shape):
        raise ValueError(f"frame 0 has shape {shape}, expected (H, W) with sides of 1 to {MAX_SIDE_PX}")
    packed_size(shape[0] * shape[1], packing)  # raises if the pixels do not fill whole groups
    return shape


def _check_frame(frame: np.ndarray, number: int, shape: tuple[int, ...], bits: int) -> None:
    if frame.shape != shape:
        raise ValueError(f"frame {number} has shape {frame.shape}, expected {shape} like frame 0")
    if frame.dtype.kind not in "ui":
        raise ValueError(f"frame {number} is {frame.dtype}, expected integers")
    low, high = frame.min(), frame.max()
    if low < 0 or high >= 2**bits:
        raise ValueError(f"frame {number} has values {low} to {high}, expected 0 to {2**bits - 1}")


def _pack(frame: np.ndarray, packing: str) -> np.ndarray:
    """Stored bytes of a checked frame; unpacked rows go bottom-up."""
    if packing in ("u8", "u16"):
        return np.ascontiguousarray(frame[::-1], "<u2" if packing == "u16" else np.uint8)
    from olatkit.io.packing import pack_p10, pack_p12l

    pixels = np.ascontiguousarray(frame, np.uint16).reshape(-1)
    out = np.empty(packed_size(pixels.size, packing), np.uint8)
    if packing == "p10":
        pack_p10(pixels, _P10_CODES, out)
    else:
        pack_p12l(pixels, out)
    return out
