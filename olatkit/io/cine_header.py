"""Parse and check everything of a Phantom .cine file that is not pixels.

The file is little endian and unpadded: a file header of 44 bytes, a bitmap header of 40, a SETUP structure that
grew with the years (fields beyond its own ``Length`` do not exist), tagged blocks with the time and exposure of
every frame, a table of frame offsets, and the frames. Every value is checked against the size of the file before
anything is allocated, so a damaged file ends in one :class:`~olatkit.errors.FormatError`.
"""

from dataclasses import dataclass

import numpy as np

from olatkit.io.cine_setup import (
    FileBytes,
    bayer_pattern,
    bit_depth,
    black_and_white,
    frame_rate,
    parse_setup,
    white_balance,
)

MAX_SIDE_PX = 1 << 15
ANNOTATION_BYTES = 8  # the shortest annotation in front of the pixels: its own size and the size of the image


@dataclass(frozen=True)
class CineHeader:
    """What a .cine file says about its frames; every value checked, times still in the units of the file.

    Attributes
    ----------
    width, height : int
        Pixels.
    packing : str
        'u8', 'u16', 'p10' or 'p12l'.
    top_down : bool
        Whether the first stored row is the top one.
    bits : int
        Significant bits of a decoded value.
    frame_bytes : int
        Size of the pixels of one frame in the file.
    offsets : ndarray, shape (N,), int64
        Byte where the annotation of every frame starts.
    first_image : int
        Number of the first stored frame, counted from the trigger.
    trigger_ticks : int
        Trigger time in 2^-32 s since 1970.
    time_ticks : ndarray, shape (N,), uint64, or None
        Time of every frame in 2^-32 s since 1970 (block 1002).
    exposure_s : ndarray, shape (N,), or None
        Exposure of every frame (block 1003, else SETUP.ShutterNs).
    """

    width: int
    height: int
    packing: str
    top_down: bool
    bits: int
    frame_bytes: int
    offsets: np.ndarray
    first_image: int
    trigger_ticks: int
    time_ticks: np.ndarray | None
    exposure_s: np.ndarray | None
    frame_rate_hz: float
    bayer: str | None
    black_level: float
    white_level: float
    white_balance: tuple[float, float, float] | None
    camera: str
    serial: int | None


def parse_header(
    data: np.ndarray,
    name: str,
    *,
    bayer: str | None = None,
    black_level: float | None = None,
    white_level: float | None = None,
) -> CineHeader:
    """Parse the header of a .cine file.

    Parameters
    ----------
    data : ndarray, shape (size,), uint8
        The whole file, usually a memory map.
    name : str
        File name for messages.
    bayer, black_level, white_level
        Used in place of what the file says.

    Raises
    ------
    FormatError
        If anything contradicts the format, itself or the size of the file.
    """
    file = FileBytes(data, name)
    mark = data[:2].tobytes()
    if mark != b"CI":
        raise file.error(f"starts with {mark!r}, expected b'CI'; is it a Phantom .cine file?")
    _, header_size, compression, version, _, _, first_image, count, at_bitmap, at_setup, at_offsets, trigger = (
        file.unpack("2sHHHiIiIIIIQ", 0, "the file header")
    )
    if header_size < 44:
        raise file.error(f"Headersize is {header_size}, expected 44 or more")
    if compression not in (0, 2):
        raise file.error(
            f"Compression is {compression}, expected 0 (grey) or 2 (raw colour); convert compressed files to raw .cine"
        )
    if version not in (0, 1):
        raise file.error(f"Version is {version}, expected 0 or 1")
    if count == 0:
        raise file.error("ImageCount is 0, expected at least one frame")
    width, height, packing, top_down, frame_bytes, levels = _parse_bitmap(file, at_bitmap)
    setup, setup_length = parse_setup(file, at_setup)
    at_blocks = at_setup + setup_length
    if at_offsets < at_blocks:
        raise file.error(f"OffImageOffsets is {at_offsets}, expected a place after SETUP (to byte {at_blocks})")
    offsets = _parse_offsets(file, version, count, at_offsets, frame_bytes)
    time_ticks, exposure_s = _parse_blocks(file, count, at_blocks, at_offsets)
    if exposure_s is None and setup.get("ShutterNs"):
        exposure_s = np.full(count, setup["ShutterNs"] * 1e-9)
    bits = bit_depth(file, packing, setup, levels)
    pattern = bayer or bayer_pattern(file, compression, setup.get("CFA"))
    black, white = black_and_white(file, packing, bits, setup, black_level, white_level)
    return CineHeader(
        width=width,
        height=height,
        packing=packing,
        top_down=top_down,
        bits=bits,
        frame_bytes=frame_bytes,
        offsets=offsets,
        first_image=first_image,
        trigger_ticks=trigger,
        time_ticks=time_ticks,
        exposure_s=exposure_s,
        frame_rate_hz=frame_rate(file, setup),
        bayer=pattern,
        black_level=black,
        white_level=white,
        white_balance=white_balance(file, pattern, setup.get("WBGain")),
        camera=setup.get("CameraModel", b"").split(b"\0")[0].decode("latin-1").strip(),
        serial=setup.get("Serial"),
    )


def _parse_bitmap(file: FileBytes, offset: int) -> tuple[int, int, str, bool, int, int]:
    """Width, height, packing, row order, bytes per frame and number of grey levels from the BITMAPINFOHEADER."""
    size, width, height, _, bit_count, compression, image_bytes, _, _, _, levels = file.unpack(
        "IiiHHIIiiII", offset, "the BITMAPINFOHEADER"
    )
    if size < 40:
        raise file.error(f"biSize is {size}, expected 40 or more")
    if not 1 <= width <= MAX_SIDE_PX:
        raise file.error(f"biWidth is {width}, expected 1 to {MAX_SIDE_PX} pixels")
    if not 1 <= abs(height) <= MAX_SIDE_PX:
        raise file.error(f"biHeight is {height}, expected 1 to {MAX_SIDE_PX} pixels (negative for top-down)")
    if compression not in (0, 256, 1024):
        raise file.error(f"biCompression is {compression}, expected 0 (unpacked), 256 (P10) or 1024 (P12L)")
    if compression == 0 and bit_count not in (8, 16):
        raise file.error(f"biBitCount is {bit_count}, expected 8 or 16; save the file as raw, not interpolated, colour")
    packing = {256: "p10", 1024: "p12l"}.get(compression) or f"u{bit_count}"
    pixels = width * abs(height)
    try:
        frame_bytes = packed_size(pixels, packing)
    except ValueError as error:
        raise file.error(f"frames of {width}x{abs(height)}: {error}") from None
    if image_bytes not in (0, frame_bytes):
        raise file.error(
            f"biSizeImage is {image_bytes}, expected {frame_bytes} for {width}x{abs(height)} pixels {packing}"
        )
    # packed rows are always stored top-down, unpacked ones bottom-up unless the height is negative
    return width, abs(height), packing, packing in ("p10", "p12l") or height < 0, frame_bytes, levels


def packed_size(pixels: int, packing: str) -> int:
    """Bytes of ``pixels`` pixels in a packing; ValueError if they do not fill whole groups."""
    group, size = {"u8": (1, 1), "u16": (1, 2), "p10": (4, 5), "p12l": (2, 3)}[packing]
    if pixels % group:
        raise ValueError(f"{pixels} pixels are not a multiple of {group}, which {packing} needs")
    return pixels // group * size


def _parse_offsets(file: FileBytes, version: int, count: int, offset: int, frame_bytes: int) -> np.ndarray:
    """Offsets of all frames, checked to lie in the file without overlap."""
    stored = file.array("<u8" if version else "<u4", count, offset, "the table of frame offsets (ImageCount)")
    room = frame_bytes + ANNOTATION_BYTES
    outside = stored > max(file.data.size - room, 0)
    if outside.any() or room > file.data.size:
        frame = int(np.argmax(outside))
        raise file.error(
            f"frame {frame} of {count} starts at byte {int(stored[frame])} and needs {room}, but the file has "
            f"{file.data.size} bytes: truncated?"
        )
    offsets = stored.astype(np.int64)
    close = np.diff(offsets) < room
    if close.any():
        frame = int(np.argmax(close)) + 1
        raise file.error(
            f"frame {frame} starts at byte {offsets[frame]}, inside or before frame {frame - 1} at byte "
            f"{offsets[frame - 1]}: the table of frame offsets is damaged"
        )
    return offsets


def _parse_blocks(file: FileBytes, count: int, start: int, stop: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Times in ticks and exposures in seconds from the tagged blocks between SETUP and the offset table."""
    times = exposures = None
    while start + 8 <= stop:
        size, kind, _ = file.unpack("IHH", start, "a tagged block")
        if size == 0 and kind == 0:  # padding
            break
        if size < 8 or start + size > stop:
            raise file.error(
                f"block {kind} at byte {start} has size {size}, expected 8 to {stop - start} (up to the offset table)"
            )
        entry = {1002: 8, 1003: 4}.get(kind)
        if entry and size != 8 + entry * count:
            raise file.error(
                f"block {kind} at byte {start} has size {size}, expected {8 + entry * count} for {count} frames"
            )
        if kind == 1002:
            times = file.array("<u8", count, start + 8, "block 1002")
        elif kind == 1003:
            exposures = file.array("<u4", count, start + 8, "block 1003") / 2.0**32
        start += size
    if times is not None:
        stands = times[1:] <= times[:-1]
        if stands.any():
            frame = int(np.argmax(stands)) + 1
            raise file.error(
                f"block 1002: the time of frame {frame} is not after that of frame {frame - 1} "
                f"({int(times[frame])} after {int(times[frame - 1])} in 2^-32 s)"
            )
    return times, exposures
