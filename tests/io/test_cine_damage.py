"""Damaged .cine files end in one FormatError that names the file, or read as a stream of sane size."""

import re
import struct

import numpy as np
import pytest
from cine_builder import AT_SETUP, build_cine
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.errors import FormatError
from olatkit.io.cine import CineStream

RNG = np.random.default_rng(1)
TICKS = (1_700_000_000 << 32) + np.arange(3) * (1 << 22)
GOOD = build_cine(
    RNG.integers(0, 4096, (3, 4, 6), dtype=np.uint16), times=TICKS, exposures=[9, 9, 9], compression=2, cfa=3
)
AT_BLOCKS = AT_SETUP + 10416
AT_OFFSETS = AT_BLOCKS + 32 + 20 + 12
AT_FRAMES = AT_OFFSETS + 24

# Every field of both headers, and of the rest every one that is read: (offset, struct format)
FIELDS = {
    "Type": (0, "2s"), "Headersize": (2, "H"), "Compression": (4, "H"), "Version": (6, "H"),
    "FirstMovieImage": (8, "i"), "TotalImageCount": (12, "I"), "FirstImageNo": (16, "i"),
    "ImageCount": (20, "I"), "OffImageHeader": (24, "I"), "OffSetup": (28, "I"),
    "OffImageOffsets": (32, "I"), "TriggerTime": (36, "Q"), "biSize": (44, "I"), "biWidth": (48, "i"),
    "biHeight": (52, "i"), "biPlanes": (56, "H"), "biXPelsPerMeter": (68, "i"), "biYPelsPerMeter": (72, "i"),
    "biClrUsed": (76, "I"), "biBitCount": (58, "H"), "biCompression": (60, "I"), "biSizeImage": (64, "I"),
    "biClrImportant": (80, "I"), "FrameRate16": (AT_SETUP, "H"), "Mark": (AT_SETUP + 140, "2s"),
    "Length": (AT_SETUP + 142, "H"), "Serial": (AT_SETUP + 743, "I"), "FrameRate": (AT_SETUP + 768, "I"),
    "CFA": (AT_SETUP + 808, "I"),
    "WBGain red": (AT_SETUP + 852, "f"), "WBGain blue": (AT_SETUP + 856, "f"), "RealBPP": (AT_SETUP + 896, "I"),
    "ShutterNs": (AT_SETUP + 1568, "I"), "BlackLevel": (AT_SETUP + 5732, "i"), "WhiteLevel": (AT_SETUP + 5736, "i"),
    "CameraModel": (AT_SETUP + 10128, "2s"), "dFrameRate": (AT_SETUP + 10400, "d"),
    "times size": (AT_BLOCKS, "I"), "times type": (AT_BLOCKS + 4, "H"),
    "times reserved": (AT_BLOCKS + 6, "H"), "time of frame 0": (AT_BLOCKS + 8, "Q"),
    "time of frame 1": (AT_BLOCKS + 16, "Q"), "time of frame 2": (AT_BLOCKS + 24, "Q"),
    "exposures size": (AT_BLOCKS + 32, "I"), "exposures type": (AT_BLOCKS + 36, "H"),
    "exposure of frame 1": (AT_BLOCKS + 44, "I"), "offset of frame 0": (AT_OFFSETS, "Q"),
    "offset of frame 1": (AT_OFFSETS + 8, "Q"), "offset of frame 2": (AT_OFFSETS + 16, "Q"),
    "AnnotationSize": (AT_FRAMES, "I"), "ImageSize": (AT_FRAMES + 4, "I"),
}  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("damage") / "bad.cine"


def read_all(path, content):
    """Open and read ``content``; the only failure allowed is a FormatError of one line that names the file."""
    path.unlink(missing_ok=True)  # never shorten a file that a stream may still have mapped
    path.write_bytes(content)
    failure = frames = None
    try:
        stream = CineStream(path)
        frames = stream.read(0, len(stream))
    except FormatError as error:
        failure = str(error)
    if frames is None:
        assert failure.startswith(f"{path}: ")
        assert "\n" not in failure
        return None
    assert frames.nbytes <= 2 * len(content)  # packed pixels grow by at most 8/5
    assert frames.shape == (len(stream), *stream.shape)
    assert len(stream.times_s) == len(stream)
    assert np.isfinite(stream.times_s).all()
    assert 0 <= stream.black_level < stream.white_level
    return stream


def test_the_undamaged_file_reads(path):
    assert len(read_all(path, GOOD)) == 3


def bytes_for(form):
    """Values of a field: the corners of its type, small numbers, and anything."""
    size = struct.calcsize("<" + form)
    corners = [b"\0" * size, b"\xff" * size, b"\xff" * (size - 1) + b"\x7f", b"\0" * (size - 1) + b"\x80"]
    small = st.integers(0, 2000).map(lambda value: value.to_bytes(8, "little")[:size])
    return st.sampled_from(corners) | small | st.binary(min_size=size, max_size=size)


def check_any_value(path, field, data):
    offset, form = FIELDS[field]
    value = data.draw(bytes_for(form))
    read_all(path, GOOD[:offset] + value + GOOD[offset + len(value) :])


@pytest.mark.parametrize("field", FIELDS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_value_of_any_field(path, field, data):
    check_any_value(path, field, data)


@pytest.mark.slow
@pytest.mark.parametrize("field", FIELDS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_hundred_values_of_any_field(path, field, data):
    check_any_value(path, field, data)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(FIELDS)), st.binary(min_size=8, max_size=8)), min_size=2, max_size=5))
def test_several_wrong_fields(path, changes):
    content = bytearray(GOOD)
    for field, value in changes:
        offset, form = FIELDS[field]
        size = struct.calcsize("<" + form)
        content[offset : offset + size] = value[:size]
    read_all(path, bytes(content))


BOUNDARIES = sorted(
    {
        max(0, edge + shift)
        for edge in (0, 2, 44, 84, AT_SETUP + 142, AT_SETUP + 144, AT_BLOCKS, AT_BLOCKS + 8, AT_BLOCKS + 32, AT_OFFSETS,
                     AT_FRAMES, AT_FRAMES + 8, AT_FRAMES + 56, AT_FRAMES + 112, len(GOOD))
        for shift in (-1, 0, 1)
        if edge + shift < len(GOOD)
    }
)  # fmt: skip


@pytest.mark.parametrize("length", BOUNDARIES)
def test_truncation_at_every_boundary(path, length):
    assert read_all(path, GOOD[:length]) is None


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(GOOD) - 1))
def test_truncation_anywhere(path, length):
    assert read_all(path, GOOD[:length]) is None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_anything_that_starts_like_a_cine(path, tail):
    assert read_all(path, b"CI" + tail) is None


def patch(field, value):
    offset, form = FIELDS[field]
    packed = struct.pack("<" + form, value)
    return GOOD[:offset] + packed + GOOD[offset + len(packed) :]


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("Type", b"RI", r"starts with b'RI', expected b'CI'"),
        ("Compression", 1, "Compression is 1, expected 0 .grey. or 2 .raw colour."),
        ("Version", 2, "Version is 2, expected 0 or 1"),
        ("ImageCount", 0, "ImageCount is 0"),
        ("ImageCount", 2**32 - 1, "the table of .* .ImageCount. with 4294967295 entries ends at byte .*, but the file"),
        ("OffSetup", 2**31, "SETUP lies at byte 2147483788, but the file has"),
        ("OffImageOffsets", 100, "OffImageOffsets is 100, expected a place after SETUP"),
        ("biWidth", 0, "biWidth is 0, expected 1 to 32768"),
        ("biWidth", 2**31 - 1, "biWidth is 2147483647, expected 1 to 32768"),
        ("biHeight", -(2**31), "biHeight is -2147483648, expected 1 to 32768"),
        ("biBitCount", 24, "biBitCount is 24, expected 8 or 16"),
        ("biCompression", 3, "biCompression is 3, expected 0 .unpacked., 256 .P10. or 1024 .P12L."),
        ("biSizeImage", 47, "biSizeImage is 47, expected 48 for 6x4 pixels u16"),
        ("Mark", b"XX", "SETUP.Mark at byte 224 is b'XX', expected b'ST'"),
        ("Length", 60000, "SETUP.Length is 60000 from byte 84, but the file has"),
        ("dFrameRate", -5.0, "SETUP.dFrameRate is -5, expected a frame rate above 0 Hz"),
        ("dFrameRate", float("nan"), "SETUP.dFrameRate is nan"),
        ("RealBPP", 33, "SETUP.RealBPP is 33, expected 8 to 16"),
        ("BlackLevel", 5000, "black level 5000 and white level 4064"),
        ("WBGain red", -1.0, "SETUP.WBGain is -1, 2, expected two gains above 0"),
        ("times size", 7, "block 1002 at byte 10500 has size 7, expected 8 to"),
        ("times size", 24, "block 1002 at byte 10500 has size 24, expected 32 for 3 frames"),
        ("time of frame 1", 5, "block 1002: the time of frame 1 is not after that of frame 0"),
        ("offset of frame 2", 2**63, "frame 2 of 3 starts at byte 9223372036854775808 and needs 56"),
        ("offset of frame 2", AT_FRAMES + 60, "frame 2 starts at byte .*, inside or before frame 1"),
        ("AnnotationSize", 0, "frame 0: AnnotationSize at byte .* is 0, expected 8 to 8"),
        ("ImageSize", 47, "frame 0: ImageSize at byte .* is 47, expected 48 for 6x4 pixels u16"),
    ],
)
def test_the_message_names_field_value_and_expectation(path, field, value, message):
    path.unlink(missing_ok=True)
    path.write_bytes(patch(field, value))
    with pytest.raises(FormatError, match=rf"^{re.escape(str(path))}: {message}"):
        CineStream(path).read(0, 1)


def test_a_damaged_frame_spoils_no_other(path):
    path.unlink(missing_ok=True)
    path.write_bytes(patch("ImageSize", 47))
    stream = CineStream(path)
    assert stream.read(1, 3).shape == (2, 4, 6)
    with pytest.raises(FormatError, match="frame 0: ImageSize"):
        stream.read(0, 3)
