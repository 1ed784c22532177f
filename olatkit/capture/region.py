"""The part of the picture that is made: pixels around the subject, packed so that every step touches only them."""

from dataclasses import dataclass, field

import numpy as np

ROW = 512  # packed pixels per row: a picture-like shape for OpenCV, small rows for its cache


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels of a box, in reading order, as an array of rows of 512.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        Pixels to make; at least one. The last row is filled up with copies of the last pixel.

    Attributes
    ----------
    index : ndarray, shape (rows * 512,), int64
        Place of every packed pixel in the flattened box.
    positions : ndarray, shape (rows, 512, 2), float32
        Its x and y in the box.
    runs : ndarray, shape (n, 3), int64
        Pixels that lie side by side: place of the first one among the packed, place in the flattened box, number. The
        copies are in none.
    count : int
        Number of pixels, without the copies.
    """

    mask: np.ndarray
    index: np.ndarray = field(init=False, repr=False)
    positions: np.ndarray = field(init=False, repr=False)
    runs: np.ndarray = field(init=False, repr=False)
    count: int = field(init=False)

    def __post_init__(self) -> None:
        index = np.flatnonzero(self.mask)
        if not index.size:
            raise ValueError("the region holds no pixel")
        rows = -(-index.size // ROW)
        padded = np.full(rows * ROW, index[-1], np.int64)
        padded[: index.size] = index
        y, x = np.divmod(padded, self.mask.shape[1])
        positions = np.stack([x, y], axis=-1).astype(np.float32).reshape(rows, ROW, 2)
        first = np.flatnonzero(np.diff(index, prepend=-2) != 1)
        runs = np.stack([first, index[first], np.diff(first, append=index.size)], axis=1)
        object.__setattr__(self, "count", int(index.size))
        for name, value in (("index", padded), ("positions", positions), ("runs", runs)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    def pack(self, image: np.ndarray) -> np.ndarray:
        """Values (h, w[, C]) of the region's pixels, shape (rows, 512[, C])."""
        flat = image.reshape(self.mask.size, *image.shape[2:])
        return np.take(flat, self.index, axis=0).reshape(*self.positions.shape[:2], *image.shape[2:])

    def unpack(self, packed: np.ndarray) -> np.ndarray:
        """Packed values back in the picture, shape (h, w[, C]), zeros outside the region."""
        out = np.zeros((self.mask.size, *packed.shape[2:]), packed.dtype)
        out[self.index] = packed.reshape(-1, *packed.shape[2:])
        return out.reshape(*self.mask.shape, *packed.shape[2:])

