"""A camera raw file made by hand."""

import struct
from pathlib import Path

import numpy as np


def write_dng(path: Path, mosaic: np.ndarray, *, black: int, white: int) -> None:
    """A minimal uncompressed RGGB DNG of 16 bits."""
    height, width = mosaic.shape
    short, long_, byte, ascii_, signed = 3, 4, 1, 2, 10
    matrix = [x for v in (1, 0, 0, 0, 1, 0, 0, 0, 1) for x in (v, 1)]
    tags: list[tuple[int, int, list[int] | bytes]] = [
        (254, long_, [0]), (256, long_, [width]), (257, long_, [height]), (258, short, [16]), (259, short, [1]),
        (262, short, [32803]), (271, ascii_, b"olatkit\0"), (272, ascii_, b"test camera\0"), (273, long_, [0]),
        (274, short, [1]), (277, short, [1]), (278, long_, [height]), (279, long_, [mosaic.size * 2]), (284, short, [1]),
        (33421, short, [2, 2]), (33422, byte, bytes([0, 1, 1, 2])), (50706, byte, bytes([1, 4, 0, 0])),
        (50708, ascii_, b"test camera\0"), (50714, short, [black]), (50717, long_, [white]), (50721, signed, matrix),
        (50778, short, [21]),
    ]
    sizes = {short: ("H", 2), long_: ("I", 4), signed: ("i", 4)}
    at = 8 + 2 + 12 * len(tags) + 4
    directory, rest = b"", b""
    pixels_at = at + 400
    for number, kind, value in tags:
        if number == 273:
            value = [pixels_at]
        if isinstance(value, bytes):
            data, count = value, len(value)
        else:
            data = struct.pack(f"<{len(value)}{sizes[kind][0]}", *value)
            count = len(value) // 2 if kind == signed else len(value)
        if len(data) > 4:
            directory += struct.pack("<HHII", number, kind, count, at + len(rest))
            rest += data + b"\0" * (len(data) % 2)
        else:
            directory += struct.pack("<HHI", number, kind, count) + data.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + directory + struct.pack("<I", 0)
    assert len(rest) <= 400
    path.write_bytes(head + rest.ljust(400, b"\0") + mosaic.astype("<u2").tobytes())
