"""The bytes of a .cine file around its pixels, as written by :func:`olatkit.io.cine_writer.write_cine`."""

import struct
from dataclasses import dataclass

import numpy as np

from olatkit.io import p10
from olatkit.io.cine_setup import BAYER_OF_CFA

CFA_OF_BAYER = {pattern: code for code, pattern in BAYER_OF_CFA.items()}
BI_COMPRESSION = {"u8": 0, "u16": 0, "p10": 256, "p12l": 1024}
HEADER_BYTES = 44 + 40
SETUP_BYTES = 10416


@dataclass(frozen=True)
class Recording:
    """Everything but the pixels, checked."""

    packing: str
    bits: int
    bayer: str | None
    frame_rate_hz: float
    levels: tuple[int, int]
    white_balance: tuple[float, float, float]
    time_ticks: np.ndarray | None
    exposure_ticks: np.ndarray | None
    trigger_ticks: int
    camera: str
    serial: int


def make_file_header(count: int, at_setup: int, at_offsets: int, recording: Recording) -> bytes:
    compression = 2 if recording.bayer else 0
    return struct.pack(
        "<2sHHHiIiIIIIQ",
        *(b"CI", 44, compression, 1, 0, count, 0, count, 44, at_setup, at_offsets, recording.trigger_ticks),
    )


def make_bitmap_header(shape: tuple[int, ...], frame_bytes: int, recording: Recording) -> bytes:
    bit_count = 8 if recording.packing == "u8" else 16
    levels = 1024 if recording.packing == "p10" else 2**recording.bits
    return struct.pack(
        "<IiiHHIIiiII",
        *(40, shape[1], shape[0], 1, bit_count, BI_COMPRESSION[recording.packing], frame_bytes, 0, 0, 0, levels),
    )


def make_metadata(count: int, recording: Recording) -> bytes:
    """SETUP and the tagged blocks."""
    metadata = _make_setup(recording)
    if recording.time_ticks is not None:
        metadata += struct.pack("<IHH", 8 + 8 * count, 1002, 1) + recording.time_ticks.astype("<u8").tobytes()
    if recording.exposure_ticks is not None:
        exposures = np.broadcast_to(recording.exposure_ticks, count)
        metadata += struct.pack("<IHH", 8 + 4 * count, 1003, 0) + exposures.tobytes()
    return metadata


def _make_setup(recording: Recording) -> bytes:
    setup = bytearray(SETUP_BYTES)

    def put(form: str, offset: int, *values: object) -> None:
        struct.pack_into("<" + form, setup, offset, *values)

    rate = round(recording.frame_rate_hz)
    is_p10 = recording.packing == "p10"
    red, green, blue = recording.white_balance
    exposure = 0 if recording.exposure_ticks is None else recording.exposure_ticks.reshape(-1)[0] / 2.0**32
    put("H", 0, min(rate, 65535))  # FrameRate16
    put("2sH", 140, b"ST", SETUP_BYTES)
    put("I", 743, recording.serial)
    put("I", 768, min(rate, 2**32 - 1))  # FrameRate
    put("I", 808, CFA_OF_BAYER[recording.bayer])
    put("8f", 852, *(red / green, blue / green) * 4)  # WBGain of up to four heads
    put("I", 896, 10 if is_p10 else recording.bits)  # RealBPP
    put("I", 1568, round(exposure * 1e9))  # ShutterNs
    put("2i", 5732, *((p10.BLACK_CODE, p10.WHITE_CODE) if is_p10 else recording.levels))
    put("f", 6976, min(recording.frame_rate_hz, 1e6))  # fPbRate
    put("9f", 7252, *(1, 0, 0, 0, 1, 0, 0, 0, 1))  # cmCalib
    put("I", 10112, recording.bits)  # RecBPP
    put("256s", 10128, recording.camera.encode("latin-1", "replace")[:255])
    put("d", 10400, recording.frame_rate_hz)
    return bytes(setup)
