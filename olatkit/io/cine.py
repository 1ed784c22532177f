"""Read Phantom .cine files: random access, memory mapped, checked against the size of the file."""

import mmap
import os
from pathlib import Path

import numpy as np

from olatkit.errors import FormatError
from olatkit.io import p10
from olatkit.io.cine_header import ANNOTATION_BYTES, parse_header
from olatkit.io.sources import check_frame_range
from olatkit.io.used_memory import empty_array


class CineStream:
    """Frames of a Phantom .cine file, a :class:`~olatkit.io.streams.FrameStream`.

    Parameters
    ----------
    path : path-like
        The file: 8 or 16 bits unpacked, 10 bits packed (P10, linearised to 12 bits) or 12 bits packed (P12L).
    bayer : {'gbrg', 'rggb', 'grbg', 'bggr'}, optional
        Used in place of the file's colour filter array.
    black_level, white_level : float, optional
        Used in place of the file's levels, in units of decoded values.

    Attributes
    ----------
    name, frame_rate_hz, times_s, shape, bayer, black_level, white_level, white_balance, exposure_s
        As every stream. Times come from the timestamps of the file (block 1002) where it has them and win over
        the nominal frame rate. Exposures come from block 1003, else from the shutter time of the header.
        P10 has black 64 and white 4064; levels that other files do not have are 0 and 2^bits - 1.
    camera : str
        Model, '' if unknown.
    serial : int or None
        Serial number of the camera.
    bits : int
        Significant bits of a decoded value.
    packing : str
        'u8', 'u16', 'p10' or 'p12l', as stored.
    first_image : int
        Number of the first stored frame, counted from the trigger.
    trigger_time_s : float
        Time of the trigger in seconds since 1970.

    Raises
    ------
    FormatError
        If the file is damaged, truncated or of an unsupported kind; it names field, value and what was expected.

    Notes
    -----
    A colour filter array describes the top-left pixels of the picture as shown, so it needs no change for files
    that store the bottom row first, whatever their height. Flips and rotations that the header asks a viewer for
    are not applied. Instances may be shared between threads and pickled (they open the file again). A file must
    not be shortened while it is open.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        bayer: str | None = None,
        black_level: float | None = None,
        white_level: float | None = None,
    ):
        self._path = Path(path)
        self._given = {"bayer": bayer, "black_level": black_level, "white_level": white_level}
        self.name = str(path)
        with open(self._path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise FormatError(f"{self.name}: the file is empty, expected a Phantom .cine file")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._data = np.frombuffer(self._map, np.uint8)
        header = parse_header(self._data, self.name, bayer=bayer, black_level=black_level, white_level=white_level)
        self._header = header
        self.shape: tuple[int, ...] = (header.height, header.width)
        self.bayer = header.bayer
        self.black_level, self.white_level = header.black_level, header.white_level
        self.white_balance = header.white_balance
        self.frame_rate_hz = header.frame_rate_hz
        self.exposure_s = header.exposure_s
        self.camera, self.serial, self.bits, self.packing = header.camera, header.serial, header.bits, header.packing
        self.first_image = header.first_image
        self.trigger_time_s = header.trigger_ticks / 2.0**32
        if header.time_ticks is None:
            self.times_s = np.arange(len(self)) / header.frame_rate_hz
        else:  # subtract as integers: seconds since 1970 would cost half a microsecond in float64
            self.times_s = (header.time_ticks - header.time_ticks[0]) / 2.0**32

    def __len__(self) -> int:
        return len(self._header.offsets)

    def __repr__(self) -> str:
        height, width = self.shape
        return (
            f"CineStream({str(self._path)!r}: {len(self)} frames {width}x{height}, {self.packing}, "
            f"{self.bayer or 'mono'}, {self.frame_rate_hz:g} Hz)"
        )

    def __reduce__(self):
        return _reopen, (self._path, self._given)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Decode frames ``start`` to ``stop`` - 1.

        Returns
        -------
        ndarray, shape (T, H, W)
            uint8 for 8-bit files, else uint16; linear, rows top-down.

        Raises
        ------
        IndexError
            If the range does not lie in the stream.
        FormatError
            If a frame is damaged; it names the frame.
        """
        check_frame_range(self, start, stop)
        frames = empty_array((stop - start, *self.shape), np.uint8 if self.packing == "u8" else np.uint16)
        for frame, out in zip(range(start, stop), frames, strict=True):
            decode_pixels(self._pixels(frame), self.packing, out)
        if not self._header.top_down:
            frames = np.ascontiguousarray(frames[:, ::-1])
        self._release(start, stop)
        return frames

    def _pixels(self, frame: int) -> np.ndarray:
        """The stored bytes of one frame, without a copy."""
        start = int(self._header.offsets[frame])
        size = self._header.frame_bytes
        annotation = int(self._data[start : start + 4].view("<u4")[0])
        last = len(self) - 1
        end = self._data.size if frame == last else int(self._header.offsets[frame + 1])
        if not ANNOTATION_BYTES <= annotation <= end - start - size:
            raise FormatError(
                f"{self.name}: frame {frame}: AnnotationSize at byte {start} is {annotation}, expected "
                f"{ANNOTATION_BYTES} to {end - start - size}"
            )
        start += annotation
        image_size = int(self._data[start - 4 : start].view("<u4")[0])
        if image_size != size:
            raise FormatError(
                f"{self.name}: frame {frame}: ImageSize at byte {start - 4} is {image_size}, expected {size} for "
                f"{self.shape[1]}x{self.shape[0]} pixels {self.packing}"
            )
        return self._data[start : start + size]

    def _release(self, start: int, stop: int) -> None:
        """Unmap the pages just read, so that the memory of the process does not grow with the length of a take."""
        if stop == start or not hasattr(mmap, "MADV_DONTNEED"):
            return
        first = int(self._header.offsets[start]) // mmap.PAGESIZE * mmap.PAGESIZE
        end = int(self._header.offsets[stop]) if stop < len(self) else self._data.size
        self._map.madvise(mmap.MADV_DONTNEED, first, end - first)


def _reopen(path: Path, given: dict) -> CineStream:
    return CineStream(path, **given)


def decode_pixels(stored: np.ndarray, packing: str, out: np.ndarray) -> None:
    """Decode the bytes of one frame into a contiguous array of uint8 ('u8') or uint16; no flip."""
    pixels = out.reshape(-1)
    if packing == "u8":
        pixels[:] = stored
    elif packing == "u16":
        pixels[:] = stored.view("<u2")
    else:
        from olatkit.io.packing import unpack_p10, unpack_p12l

        if packing == "p10":
            unpack_p10(stored, p10.LINEAR_OF_CODE, pixels)
        else:
            unpack_p12l(stored, pixels)
