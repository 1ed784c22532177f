"""Frame streams from everything that is not a .cine file, and the function that opens any of them."""

import os
from operator import index
from pathlib import Path

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.streams import FrameStream

BAYER_PATTERNS = ("gbrg", "rggb", "grbg", "bggr")


def check_frame_range(stream: FrameStream, start: int, stop: int) -> None:
    """Raise IndexError unless 0 <= start <= stop <= len(stream), both integers."""
    if not 0 <= index(start) <= index(stop) <= len(stream):
        raise IndexError(f"{stream.name}: frames {start} to {stop}, expected a range within 0 to {len(stream)}")


class ArrayStream:
    """Frames of an array in memory or of a memory map, a :class:`~olatkit.io.streams.FrameStream`.

    Parameters
    ----------
    frames : ndarray, shape (N, H, W) or (N, H, W, 3)
        uint8, uint16 or float32, linear in light, rows top-down; not copied.
    frame_rate_hz : float
        Nominal rate, above 0.
    bayer : {'gbrg', 'rggb', 'grbg', 'bggr'}, optional
        Pattern of the top-left 2x2 pixels; only for (N, H, W).
    black_level, white_level : float
        Values that mean no light and full scale.
    times_s : ndarray, shape (N,), optional
        Time of every frame, rising; counted from the first one. Default: from the rate.
    exposure_s : ndarray, shape (N,), or float, optional
        Exposure time of every frame.
    white_balance : tuple of 3 floats, optional
        Gains R, G, B that a camera recorded; not applied.
    name : str
        For messages.

    Raises
    ------
    ValueError
        If shapes, values or the type of the frames do not fit this description.
    """

    def __init__(
        self,
        frames: np.ndarray,
        frame_rate_hz: float,
        *,
        bayer: str | None = None,
        black_level: float = 0.0,
        white_level: float = 1.0,
        times_s: np.ndarray | None = None,
        exposure_s: np.ndarray | float | None = None,
        white_balance: tuple[float, float, float] | None = None,
        name: str = "array",
    ):
        if frames.ndim not in (3, 4) or (frames.ndim == 4 and frames.shape[-1] != 3) or 0 in frames.shape:
            raise ValueError(f"{name}: frames have shape {frames.shape}, expected (N, H, W) or (N, H, W, 3)")
        if frames.dtype not in (np.uint8, np.uint16, np.float32):
            raise ValueError(f"{name}: frames are {frames.dtype}, expected uint8, uint16 or float32")
        if bayer is not None and (bayer not in BAYER_PATTERNS or frames.ndim == 4):
            raise ValueError(f"{name}: bayer is {bayer!r}, expected one of {BAYER_PATTERNS} and frames (N, H, W)")
        if not (np.isfinite(frame_rate_hz) and frame_rate_hz > 0):
            raise ValueError(f"{name}: frame_rate_hz is {frame_rate_hz}, expected a rate above 0")
        if not black_level < white_level:
            raise ValueError(f"{name}: black level {black_level} is not below white level {white_level}")
        self._frames = frames
        self.name = name
        self.frame_rate_hz = float(frame_rate_hz)
        self.times_s = _check_times(name, times_s, len(frames), frame_rate_hz)
        self.shape = frames.shape[1:]
        self.bayer = bayer
        self.black_level, self.white_level = float(black_level), float(white_level)
        self.white_balance = white_balance
        self.exposure_s = None if exposure_s is None else np.broadcast_to(exposure_s, len(frames)).astype(float)

    def __len__(self) -> int:
        return len(self._frames)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames ``start`` to ``stop`` - 1, shape (T, *shape), a copy; IndexError outside the stream."""
        check_frame_range(self, start, stop)
        return np.array(self._frames[start:stop])


def _check_times(name: str, times_s: np.ndarray | None, count: int, frame_rate_hz: float) -> np.ndarray:
    """Times from the first frame; from the rate if there are none."""
    if times_s is None:
        return np.arange(count) / frame_rate_hz
    times_s = np.asarray(times_s, np.float64)
    if times_s.shape != (count,):
        raise ValueError(f"{name}: times_s has shape {times_s.shape}, expected ({count},), one per frame")
    late = ~(np.diff(times_s) > 0)
    if late.any() or not np.isfinite(times_s).all():
        raise ValueError(f"{name}: times_s must rise; it does not at frame {int(np.argmax(late)) + 1}")
    return times_s - times_s[0]


def open_stream(path: str | os.PathLike[str]) -> FrameStream:
    """Open a capture stream by its suffix."""
    path = Path(path)
    if not path.exists():
        raise FormatError(f"{path}: no such file or folder, expected a capture stream such as a .cine file")
    if path.suffix.lower() == ".cine":
        from olatkit.io.cine import CineStream

        return CineStream(path)
    raise FormatError(f"{path}: cannot tell what stream this is; expected .cine")
