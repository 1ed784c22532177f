"""The stream made of any array of frames, in memory or read on demand, and the function that opens all streams."""

import os
from operator import index
from pathlib import Path
from typing import Protocol

import numpy as np

from olatkit.errors import ConfigError, FormatError
from olatkit.io.streams import FrameStream

BAYER_PATTERNS = ("gbrg", "rggb", "grbg", "bggr")
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm")


def check_frame_range(stream: FrameStream, start: int, stop: int) -> None:
    """Raise IndexError unless 0 <= start <= stop <= len(stream), both integers."""
    if not 0 <= index(start) <= index(stop) <= len(stream):
        raise IndexError(f"{stream.name}: frames {start} to {stop}, expected a range within 0 to {len(stream)}")


class Frames(Protocol):
    """What :class:`ArrayStream` needs of an array; objects that read a slice from disk have it too."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, frames: slice) -> np.ndarray: ...


class ArrayStream:
    """Frames of an array, a :class:`~olatkit.io.streams.FrameStream`.

    Parameters
    ----------
    frames : ndarray or Frames, shape (N, H, W) or (N, H, W, 3)
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
        frames: Frames,
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
        shape = frames.shape
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3) or 0 in shape:
            raise ValueError(f"{name}: frames have shape {shape}, expected (N, H, W) or (N, H, W, 3)")
        if frames.dtype not in (np.uint8, np.uint16, np.float32):
            raise ValueError(f"{name}: frames are {frames.dtype}, expected uint8, uint16 or float32")
        if bayer is not None and (bayer not in BAYER_PATTERNS or len(shape) == 4):
            raise ValueError(f"{name}: bayer is {bayer!r}, expected one of {BAYER_PATTERNS} and frames (N, H, W)")
        if not (np.isfinite(frame_rate_hz) and frame_rate_hz > 0):
            raise ValueError(f"{name}: frame_rate_hz is {frame_rate_hz}, expected a rate above 0")
        if not -np.inf < black_level < white_level < np.inf:
            raise ValueError(f"{name}: black level {black_level} and white level {white_level}, expected black < white")
        self._frames = frames
        self.name = name
        self.frame_rate_hz = float(frame_rate_hz)
        self.times_s = _check_times(name, times_s, shape[0], frame_rate_hz)
        self.shape: tuple[int, ...] = tuple(shape[1:])
        self.bayer = bayer
        self.black_level, self.white_level = float(black_level), float(white_level)
        self.white_balance = white_balance
        self.exposure_s = _check_exposures(name, exposure_s, shape[0])

    def __len__(self) -> int:
        return self._frames.shape[0]

    def __repr__(self) -> str:
        kind = f"{len(self)} frames {self.shape} {self._frames.dtype}"
        return f"ArrayStream({self.name!r}: {kind}, {self.frame_rate_hz:g} Hz)"

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames ``start`` to ``stop`` - 1, shape (T, *shape), as a copy; IndexError outside the stream."""
        check_frame_range(self, start, stop)
        frames = self._frames[start:stop]
        return frames.copy() if isinstance(self._frames, np.ndarray) else frames


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


def _check_exposures(name: str, exposure_s: np.ndarray | float | None, count: int) -> np.ndarray | None:
    """One exposure time for every frame."""
    if exposure_s is None:
        return None
    exposures = np.asarray(exposure_s, np.float64)
    if exposures.shape not in ((), (count,)) or not (np.isfinite(exposures).all() and (exposures > 0).all()):
        raise ValueError(f"{name}: exposure_s has shape {exposures.shape}, expected one time above 0, or {count}")
    return np.broadcast_to(exposures, count).copy()


def open_stream(path: str | os.PathLike[str], *, transfer: str | float | None = None) -> FrameStream:
    """Open a capture stream; the suffix decides what it is.

    Parameters
    ----------
    path : path-like
        A Phantom ``.cine``; a folder of images or a ``.npy`` or ``.raw`` file with a JSON sidecar (see
        :mod:`olatkit.io.sidecar`); a video (``.mp4``, ``.mov``, ``.mkv``, ``.avi``, ``.webm``).
    transfer : {'linear', 'srgb', 'rec709'} or float, optional
        The curve of a video (required: video is not linear) or of a folder of 8- and 16-bit images (wins over the
        sidecar).

    Returns
    -------
    FrameStream

    Raises
    ------
    FormatError
        If the file is missing, damaged, or of no known kind.
    ConfigError
        If ``transfer`` is missing, unknown, or given for a format that is linear by definition.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.exists():
        raise FormatError(f"{path}: no such file or folder, expected a capture stream such as a .cine file")
    if path.is_dir():
        from olatkit.io.image_frames import open_image_folder

        return open_image_folder(path, transfer=transfer)
    if suffix in VIDEO_SUFFIXES:
        from olatkit.io.video_frames import open_video

        return open_video(path, transfer=transfer)
    if transfer is not None:
        raise ConfigError(f"{path}: transfer={transfer!r} is for videos and folders of images; leave it out")
    if suffix == ".cine":
        from olatkit.io.cine import CineStream

        return CineStream(path)
    if suffix in (".npy", ".raw"):
        from olatkit.io.raw_frames import open_raw

        return open_raw(path)
    raise FormatError(
        f"{path}: cannot tell what stream this is; expected .cine, .npy, .raw, a folder of images, or a video "
        f"({', '.join(VIDEO_SUFFIXES)})"
    )
