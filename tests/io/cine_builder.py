"""Bytes of .cine files written literally after the layout, sharing nothing with the package's own writer."""

import struct

import numpy as np

AT_SETUP = 84


def build_cine(frames, **changes):
    """A file of unpacked frames (N, H, W) uint8 or uint16, as the camera lays it out.

    Changes: compression, version, cfa, setup_length, bottom_up, times (64-bit ticks) or None, exposures (32-bit
    ticks) or None, fields ({offset in SETUP: (format, values)}), annotation (bytes).
    """
    compression = changes.pop("compression", 0)
    version = changes.pop("version", 1)
    setup_length = changes.pop("setup_length", 10416)
    bottom_up = changes.pop("bottom_up", True)
    times, exposures = changes.pop("times", None), changes.pop("exposures", None)
    annotation = changes.pop("annotation", b"")
    cfa = changes.pop("cfa", 0)
    fields = changes.pop("fields", {})
    assert not changes, changes
    count, height, width = frames.shape
    bits = 8 * frames.dtype.itemsize

    setup = bytearray(10416)
    struct.pack_into("<H", setup, 0, 500)  # FrameRate16
    struct.pack_into("<2sH", setup, 140, b"ST", setup_length)
    struct.pack_into("<I", setup, 743, 4711)
    struct.pack_into("<I", setup, 768, 1000)
    struct.pack_into("<I", setup, 808, cfa)
    struct.pack_into("<2f", setup, 852, 1.5, 2.0)
    struct.pack_into("<I", setup, 896, 8 if bits == 8 else 12)
    struct.pack_into("<I", setup, 1568, 900_000)
    struct.pack_into("<2i", setup, 5732, *((3, 250) if bits == 8 else (64, 4064)))
    struct.pack_into("<13s", setup, 10128, b"Phantom Test")
    struct.pack_into("<d", setup, 10400, 1000.5)
    for offset, (form, values) in fields.items():
        struct.pack_into("<" + form, setup, offset, *values)
    setup = bytes(setup[:setup_length])

    blocks = b""
    if times is not None:
        blocks += struct.pack("<IHH", 8 + 8 * count, 1002, 1) + np.asarray(times, "<u8").tobytes()
    if exposures is not None:
        blocks += struct.pack("<IHH", 8 + 4 * count, 1003, 1) + np.asarray(exposures, "<u4").tobytes()
    blocks += struct.pack("<IHH4s", 12, 1007, 0, b"time")  # a kind that the reader does not know

    at_offsets = AT_SETUP + len(setup) + len(blocks)
    entry = 8 if version else 4
    stored = frames[:, ::-1] if bottom_up else frames
    image = width * height * bits // 8
    objects = [
        struct.pack("<I", 8 + len(annotation))
        + annotation
        + struct.pack("<I", image)
        + frame.astype(f"<u{bits // 8}").tobytes()
        for frame in stored
    ]
    offsets = at_offsets + entry * count + np.arange(count) * len(objects[0])
    header = struct.pack(
        "<2sHHHiIiIIIIII",
        *(b"CI", 44, compression, version, -5, count, -5, count, 44, AT_SETUP, at_offsets, 1 << 31, 1_700_000_000),
    )
    bitmap = struct.pack(
        "<IiiHHIIiiII",
        40,
        width,
        height if bottom_up else -height,
        1,
        bits,
        0,
        image,
        0,
        0,
        0,
        256 if bits == 8 else 4096,
    )
    return header + bitmap + setup + blocks + offsets.astype(f"<u{entry}").tobytes() + b"".join(objects)
