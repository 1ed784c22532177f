"""The SETUP structure of a .cine file: what the camera says about itself and how to read its values.

SETUP grew with the years; fields beyond its own ``Length`` do not exist, and every one has a fallback.
"""

import math
import struct
from typing import Any

import numpy as np

from olatkit.errors import FormatError
from olatkit.io import p10

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


class FileBytes:
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


def parse_setup(file: FileBytes, offset: int) -> tuple[dict[str, Any], int]:
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


def bit_depth(file: FileBytes, packing: str, setup: dict[str, Any], levels: int) -> int:
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


def bayer_pattern(file: FileBytes, compression: int, cfa: int | None) -> str | None:
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


def black_and_white(
    file: FileBytes, packing: str, bits: int, setup: dict[str, Any], black: float | None, white: float | None
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


def frame_rate(file: FileBytes, setup: dict[str, Any]) -> float:
    """The rate from the newest field that exists and is set: dFrameRate, FrameRate, FrameRate16."""
    field = next((name for name in ("dFrameRate", "FrameRate") if setup.get(name)), "FrameRate16")
    rate = float(setup[field])
    if not (math.isfinite(rate) and rate > 0):
        raise file.error(f"SETUP.{field} is {rate:g}, expected a frame rate above 0 Hz")
    return rate


def white_balance(
    file: FileBytes, bayer: str | None, gains: tuple[float, float] | None
) -> tuple[float, float, float] | None:
    """Gains R, G, B; None for mono frames and where the camera recorded none (zeros)."""
    if bayer is None or gains is None or gains == (0, 0):
        return None
    if not all(math.isfinite(gain) and gain > 0 for gain in gains):
        raise file.error(f"SETUP.WBGain is {gains[0]:g}, {gains[1]:g}, expected two gains above 0 (red, blue)")
    return gains[0], 1.0, gains[1]
