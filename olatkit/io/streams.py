"""The stream of camera frames that every source offers, whatever its file format."""

from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class FrameStream(Protocol):
    """Frames of one camera with their times; random access, memory does not grow with the length.

    Attributes
    ----------
    name : str
        File or folder for messages, as it was given.
    frame_rate_hz : float
        Nominal frame rate.
    times_s : ndarray, shape (N,), float64
        Time of every stored frame in seconds from the first one, from the file's timestamps where it has them.
    shape : tuple
        (H, W) for a Bayer or mono sensor, (H, W, 3) for colour frames in RGB order.
    bayer : str or None
        Colour filter array of the top-left 2x2 pixels, row by row: 'gbrg', 'rggb', 'grbg' or 'bggr'; None for
        mono and colour frames.
    black_level, white_level : float
        Values that mean no light and full scale, in the units that :meth:`read` returns.
    white_balance : tuple of 3 floats or None
        Gains R, G, B recorded by the camera; never applied by the stream.
    exposure_s : ndarray, shape (N,), or None
        Exposure time of every stored frame.
    """

    name: str
    frame_rate_hz: float
    times_s: np.ndarray
    shape: tuple[int, ...]
    bayer: str | None
    black_level: float
    white_level: float
    white_balance: tuple[float, float, float] | None
    exposure_s: np.ndarray | None

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames ``start`` to ``stop`` - 1, shape (T, *shape), linear in light, rows top-down.

        uint8 or uint16 sensor values (packed and companded codes are already unpacked and linearised), or
        float32 where a transfer curve had to be undone.
        """
        ...
