"""Streams from arrays and raw files: the same protocol, the same values."""


import numpy as np
import pytest
from stream_checks import COLOUR8, FLOATS, MOSAIC, check_protocol, write_sidecar

import olatkit
from olatkit.errors import FormatError
from olatkit.io.cine_writer import write_cine
from olatkit.io.packing import pack_p12l
from olatkit.io.sources import ArrayStream, open_stream

# Arrays


@pytest.mark.parametrize("frames, bayer", [(MOSAIC, "rggb"), (MOSAIC, None), (COLOUR8, None), (FLOATS, None)])
def test_array(frames, bayer):
    stream = ArrayStream(frames, 1000, bayer=bayer, exposure_s=9e-4)
    check_protocol(stream, frames)
    assert stream.bayer == bayer
    np.testing.assert_array_equal(stream.times_s, np.arange(5) / 1000)
    assert stream.exposure_s.tolist() == [9e-4] * 5


def test_array_times_count_from_the_first_frame():
    stream = ArrayStream(MOSAIC, 1000, times_s=np.array([7, 8, 10, 11, 12.0]))
    assert stream.times_s.tolist() == [0, 1, 3, 4, 5]


@pytest.mark.parametrize(
    "frames, wrong, message",
    [
        (MOSAIC[0], {}, r"frames have shape \(4, 6\)"),
        (MOSAIC[:0], {}, r"frames have shape \(0, 4, 6\)"),
        (FLOATS[..., :2], {}, "frames have shape"),
        (MOSAIC.astype(float), {}, "frames are float64, expected uint8, uint16 or float32"),
        (MOSAIC, {"bayer": "rgbg"}, "bayer is 'rgbg'"),
        (COLOUR8, {"bayer": "rggb"}, "bayer is 'rggb'.* frames .N, H, W."),
        (MOSAIC, {"frame_rate_hz": -1}, "frame_rate_hz is -1"),
        (MOSAIC, {"black_level": 1}, "black level 1 and white level 1"),
        (MOSAIC, {"times_s": np.zeros(5)}, "times_s must rise; it does not at frame 1"),
        (MOSAIC, {"times_s": np.array([0, 1, np.nan, 3, 4])}, "times_s must rise; it does not at frame 2"),
        (MOSAIC, {"times_s": np.arange(4.0)}, r"times_s has shape \(4,\), expected \(5,\)"),
        (MOSAIC, {"exposure_s": np.ones(4)}, r"exposure_s has shape \(4,\)"),
    ],
)
def test_array_refuses(frames, wrong, message):
    with pytest.raises(ValueError, match=f"array: {message}"):
        ArrayStream(frames, **{"frame_rate_hz": 1000, **wrong})


# NumPy and raw files


@pytest.mark.parametrize("frames", [MOSAIC, COLOUR8, FLOATS, MOSAIC.astype(np.uint8)])
def test_npy(tmp_path, frames):
    np.save(tmp_path / "take.npy", frames)
    write_sidecar(tmp_path / "take.json", white_level=4095, black_level=64, times_s=[0, 1, 2, 4, 5])
    stream = open_stream(tmp_path / "take.npy")
    check_protocol(stream, frames)
    assert (stream.black_level, stream.white_level) == (64, 4095)
    assert stream.times_s.tolist() == [0, 1, 2, 4, 5]


def save_raw(path, packing):
    frames = MOSAIC.astype(np.uint8) if packing == "u8" else MOSAIC
    stored = frames
    if packing == "p12l":
        stored = np.empty(MOSAIC.size * 3 // 2, np.uint8)
        pack_p12l(MOSAIC.ravel(), stored)
    path.write_bytes(b"header" + stored.tobytes())
    return frames


@pytest.mark.parametrize("packing", ["u8", "u16", "p12l"])
def test_raw(tmp_path, packing):
    frames = save_raw(tmp_path / "take.raw", packing)
    write_sidecar(
        tmp_path / "take.json", packing=packing, width=6, height=4, header_bytes=6, bayer="grbg", white_level=255,
        white_balance=[2, 1, 1.5], exposure_s=1e-3,
    )  # fmt: skip
    stream = open_stream(tmp_path / "take.raw")
    check_protocol(stream, frames)
    assert (stream.bayer, stream.white_balance) == ("grbg", (2, 1, 1.5))


@pytest.mark.parametrize(
    "sidecar, message",
    [
        ({"packing": "u16", "width": 6, "height": 4}, "take.json: white_level is missing"),
        ({"packing": "u16", "width": 6}, "take.json: needs width, height and packing"),
        ({"packing": "p14", "width": 6, "height": 4}, "take.json: packing is 'p14'"),
        ({"packing": "p10", "width": 3, "height": 3}, "take.json: 9 pixels are not a multiple of 4"),
        ({"packing": "u16", "width": 7, "height": 4}, "take.raw: 240 bytes of frames, expected a multiple of 56"),
        ({"packing": "u16", "width": 6, "height": 4, "blacklevel": 3}, "key 'blacklevel': .*known keys: frame_rate_hz"),
        ({"frame_rate_hz": 0}, "take.json: key 'frame_rate_hz': .*greater than 0"),
        (
            {"packing": "u16", "width": 6, "height": 4, "white_level": 9, "bayer": "abcd"},
            "take.json: .*bayer is 'abcd'",
        ),
        ({"transfer": "srgb"}, "take.json: transfer is 'srgb', but arrays are linear"),
    ],
)
def test_raw_refuses(tmp_path, sidecar, message):
    (tmp_path / "take.raw").write_bytes(MOSAIC.tobytes())
    write_sidecar(tmp_path / "take.json", **sidecar)
    with pytest.raises(FormatError, match=message):
        open_stream(tmp_path / "take.raw")


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda data: data[:-1], "expected 368 for an array .5, 4, 6.: truncated"),
        (lambda data: data[:20], "not a NumPy file"),
        (lambda data: b"", "not a NumPy file"),
        (lambda data: data.replace(b"<u2", b"<i2"), "of int16, expected .N, H, W. or"),
        (lambda data: data.replace(b"False", b"True "), "in Fortran order"),
        (lambda data: data.replace(b"(5, 4, 6)", b"(5, 4**6)"), "not a NumPy file"),
        (lambda data: data.replace(b"(5, 4, 6)", b"(9,10**9)"), "not a NumPy file"),
    ],
)
def test_damaged_npy(tmp_path, damage, message):
    np.save(tmp_path / "take.npy", MOSAIC)
    write_sidecar(tmp_path / "take.json", white_level=4095)
    (tmp_path / "take.npy").write_bytes(damage((tmp_path / "take.npy").read_bytes()))
    with pytest.raises(FormatError, match=f"take.npy: .*{message}"):
        open_stream(tmp_path / "take.npy")


@pytest.mark.parametrize("content", ["", "[1]", "{", "[" * 100_000])
def test_damaged_sidecar(tmp_path, content):
    np.save(tmp_path / "take.npy", MOSAIC)
    (tmp_path / "take.json").write_text(content)
    with pytest.raises(FormatError, match=r"take.json: (not JSON|holds a list)"):
        open_stream(tmp_path / "take.npy")


def test_missing_sidecar(tmp_path):
    np.save(tmp_path / "take.npy", MOSAIC)
    with pytest.raises(FormatError, match=r"take.json: missing; it must say at least .*frame_rate_hz"):
        open_stream(tmp_path / "take.npy")


def test_raw_file_shortened_while_open(tmp_path):
    np.save(tmp_path / "take.npy", MOSAIC)
    write_sidecar(tmp_path / "take.json", white_level=4095)
    stream = open_stream(tmp_path / "take.npy")
    data = (tmp_path / "take.npy").read_bytes()
    (tmp_path / "take.npy").write_bytes(data[: 128 + 3 * 48 + 1])
    np.testing.assert_array_equal(stream.read(0, 3), MOSAIC[:3])
    with pytest.raises(FormatError, match="ends within frame 3"):
        stream.read(2, 5)


# One function for all


def test_open_stream_picks_by_suffix(tmp_path):
    write_cine(tmp_path / "TAKE.CINE", MOSAIC, frame_rate_hz=24)
    check_protocol(olatkit.open_stream(tmp_path / "TAKE.CINE"), MOSAIC)
    with pytest.raises(ValueError, match="transfer='srgb' is for videos and folders"):
        open_stream(tmp_path / "TAKE.CINE", transfer="srgb")
    (tmp_path / "take.txt").write_text("x")
    with pytest.raises(FormatError, match=r"take.txt: cannot tell what stream this is; expected .cine, .npy"):
        open_stream(tmp_path / "take.txt")
    with pytest.raises(FormatError, match=r"nothing.cine: no such file or folder"):
        open_stream(tmp_path / "nothing.cine")
