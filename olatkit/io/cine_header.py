"""Parse and check everything of a Phantom .cine file that is not pixels.

The file is little endian and unpadded: a file header of 44 bytes, a bitmap header of 40, a SETUP structure that
grew with the years (fields beyond its own ``Length`` do not exist), tagged blocks with the time and exposure of
every frame, a table of frame offsets, and the frames. Every value is checked against the size of the file before
anything is allocated, so a damaged file ends in one :class:`~olatkit.errors.FormatError`.
"""

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from olatkit.errors import FormatError
from olatkit.io import p10

MAX_SIDE_PX = 1 << 15
ANNOTATION_BYTES = 8  # the shortest annotation in front of the pixels: its own size and the size of the image

BAYER_OF_CFA = {0: None, 3: "gbrg", 4: "rggb", 5: "grbg", 6: "bggr"}  # top-left 2x2 of the picture, rows top-down

# name: (offset in SETUP, struct format)
_SETUP_FIELDS = {
    "FrameRate16": (0, "H"),
    "Serial": (743, "I"),
    "FrameRate": (768, "I"),
    "CFA": (808, "I"),
    "WBGain": (852, "2f"),
    "RealBPP": (896, "I"),
    "ShutterNs": (1568, "I"),
    "BlackLevel": (5732, "i"),
    "WhiteLevel": (5736, "i"),
    "CameraModel": (10128, "256s"),
    "dFrameRate": (10400, "d"),
}


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


class _Bytes:
    """The bytes of a file, read field by field; a field outside the file is a FormatError."""

    def __init__(self, data: np.ndarray, name: str):
        self.data, self.name = data, name

    def error(self, what: str) -> FormatError:
        return FormatError(f"{self.name}: {what}")

    def unpack(self, form: str, offset: int, field: str) -> tuple[Any, ...]:
        size = struct.calcsize("<" + form)
        if offset + size > self.data.size:
            raise self.error(f"{field} lies at byte {offset}, but the file has {self.data.size} bytes: truncated?")
        return struct.unpack("<" + form, self.data[offset : offset + size].tobytes())

    def array(self, dtype: str, count: int, offset: int, field: str) -> np.ndarray:
        """Copy of ``count`` values; the size is checked before anything is allocated."""
        end = offset + count * np.dtype(dtype).itemsize
        if end > self.data.size:
            raise self.error(
                f"{field} with {count} entries ends at byte {end}, but the file has {self.data.size} bytes: truncated?"
            )
        return self.data[offset:end].view(dtype).copy()


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
    file = _Bytes(data, name)
    mark, header_size, compression, version, _, _, first_image, count, at_bitmap, at_setup, at_offsets, trigger = (
        file.unpack("2sHHHiIiIIIIQ", 0, "the file header")
    )
    if mark != b"CI":
        raise file.error(f"starts with {mark!r}, expected b'CI'; is it a Phantom .cine file?")
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
    setup, setup_length = _parse_setup(file, at_setup)
    at_blocks = at_setup + setup_length
    if at_offsets < at_blocks:
        raise file.error(f"OffImageOffsets is {at_offsets}, expected a place after SETUP (to byte {at_blocks})")
    offsets = _parse_offsets(file, version, count, at_offsets, frame_bytes)
    time_ticks, exposure_s = _parse_blocks(file, count, at_blocks, at_offsets)
    if exposure_s is None and setup.get("ShutterNs"):
        exposure_s = np.full(count, setup["ShutterNs"] * 1e-9)
    bits = _bit_depth(file, packing, setup, levels)
    pattern = bayer or _bayer_pattern(file, compression, setup.get("CFA"))
    black, white = _levels(file, packing, bits, setup, black_level, white_level)
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
        frame_rate_hz=_frame_rate(file, setup),
        bayer=pattern,
        black_level=black,
        white_level=white,
        white_balance=_white_balance(file, pattern, setup.get("WBGain")),
        camera=setup.get("CameraModel", b"").split(b"\0")[0].decode("latin-1").strip(),
        serial=setup.get("Serial"),
    )


def _parse_bitmap(file: _Bytes, offset: int) -> tuple[int, int, str, bool, int, int]:
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


def _parse_setup(file: _Bytes, offset: int) -> tuple[dict[str, Any], int]:
    """Those known fields of SETUP that lie below its Length, and that length."""
    mark, length = file.unpack("2sH", offset + 140, "SETUP")
    if mark != b"ST":
        raise file.error(f"SETUP.Mark at byte {offset + 140} is {mark!r}, expected b'ST'")
    if length < 144:
        raise file.error(f"SETUP.Length is {length}, expected 144 or more")
    if offset + length > file.data.size:
        raise file.error(
            f"SETUP.Length is {length} from byte {offset}, but the file has {file.data.size} bytes: truncated?"
        )
    setup = {}
    for field, (at, form) in _SETUP_FIELDS.items():
        if at + struct.calcsize("<" + form) <= length:
            values = file.unpack(form, offset + at, f"SETUP.{field}")
            setup[field] = values[0] if len(values) == 1 else values
    return setup, length


def _parse_offsets(file: _Bytes, version: int, count: int, offset: int, frame_bytes: int) -> np.ndarray:
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


def _parse_blocks(file: _Bytes, count: int, start: int, stop: int) -> tuple[np.ndarray | None, np.ndarray | None]:
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


def _bit_depth(file: _Bytes, packing: str, setup: dict[str, Any], levels: int) -> int:
    """Significant bits after decoding: SETUP.RealBPP, else the number of grey levels of the bitmap header."""
    if packing in ("p10", "p12l"):
        return 12
    most = int(packing[1:])
    if "RealBPP" in setup:
        field, bits = "SETUP.RealBPP", setup["RealBPP"]
    else:
        field, bits = "log2 of biClrImportant", (levels - 1).bit_length() if levels > 1 else most
    if not 8 <= bits <= most:
        raise file.error(f"{field} is {bits}, expected 8 to {most} for pixels of {most} bits")
    return bits


def _bayer_pattern(file: _Bytes, compression: int, cfa: int | None) -> str | None:
    """Pattern of the top-left 2x2 pixels of the picture (rows top-down) from SETUP.CFA."""
    if cfa is None:
        if compression == 2:
            raise file.error("raw colour (Compression 2), but SETUP is too short for CFA; give bayer=")
        return None
    if cfa not in BAYER_OF_CFA:
        raise file.error(
            f"SETUP.CFA is {cfa:#x}, expected 0 (none), 3 (gbrg), 4 (rggb), 5 (grbg) or 6 (bggr); "
            "1 and 2 (four columns wide) and the high bits (partly grey heads) are not 2x2 mosaics"
        )
    if compression == 0 and cfa:
        raise file.error(f"Compression 0 (grey) contradicts SETUP.CFA {cfa} ({BAYER_OF_CFA[cfa]}); expected 2")
    return BAYER_OF_CFA[cfa]


def _levels(
    file: _Bytes, packing: str, bits: int, setup: dict[str, Any], black: float | None, white: float | None
) -> tuple[float, float]:
    """Black and white: as given, else P10's fixed ones, else those of SETUP, else 0 and 2^bits - 1 each."""
    if packing == "p10":
        stored = p10.BLACK_LEVEL, p10.WHITE_LEVEL  # SETUP has them as codes before linearisation
    else:
        stored = setup.get("BlackLevel", 0), setup.get("WhiteLevel", 0) or 2**bits - 1
    black = float(stored[0] if black is None else black)
    white = float(stored[1] if white is None else white)
    most = 255 if packing == "u8" else 65535 if packing == "u16" else 4095
    if not 0 <= black < white <= most:
        raise file.error(
            f"black level {black:g} and white level {white:g}, expected 0 <= black < white <= {most}; "
            "give black_level= and white_level="
        )
    return black, white


def _frame_rate(file: _Bytes, setup: dict[str, Any]) -> float:
    """The rate from the newest field that exists and is set: dFrameRate, FrameRate, FrameRate16."""
    field = next((name for name in ("dFrameRate", "FrameRate") if setup.get(name)), "FrameRate16")
    rate = float(setup[field])
    if not (math.isfinite(rate) and rate > 0):
        raise file.error(f"SETUP.{field} is {rate:g}, expected a frame rate above 0 Hz")
    return rate


def _white_balance(
    file: _Bytes, bayer: str | None, gains: tuple[float, float] | None
) -> tuple[float, float, float] | None:
    """Gains R, G, B; None for mono frames and where the camera recorded none (zeros)."""
    if bayer is None or gains is None or gains == (0, 0):
        return None
    if not all(math.isfinite(gain) and gain > 0 for gain in gains):
        raise file.error(f"SETUP.WBGain is {gains[0]:g}, {gains[1]:g}, expected two gains above 0 (red, blue)")
    return gains[0], 1.0, gains[1]
