"""The writer: round trips through the reader, other readers, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.errors import OutputExistsError
from olatkit.io import p10
from olatkit.io.cine import CineStream
from olatkit.io.cine_writer import write_cine

RNG = np.random.default_rng(3)
FRAMES = RNG.integers(0, 4096, (4, 6, 10), dtype=np.uint16)
TOP_VALUE = {"u8": 255, "u16": 65535, "p12l": 4095, "p10": 4095}


@st.composite
def takes(draw):
    """A packing and frames that it holds exactly, of any size that it allows."""
    packing = draw(st.sampled_from(sorted(TOP_VALUE)))
    group = {"u8": 1, "u16": 1, "p12l": 2, "p10": 4}[packing]
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    if height * width % group:
        height *= group
    count = draw(st.integers(1, 4))
    frames = np.random.default_rng(draw(st.integers(0, 99))).integers(0, TOP_VALUE[packing] + 1, (count, height, width))
    return packing, p10.LINEAR_OF_CODE[frames % 1024] if packing == "p10" else frames


@settings(deadline=None, max_examples=60)
@given(takes(), st.booleans(), st.sampled_from([None, "gbrg", "rggb", "grbg", "bggr"]))
def test_round_trip_is_exact(tmp_path_factory, take, counted, bayer):
    packing, frames = take
    path = tmp_path_factory.mktemp("take") / "t.cine"
    write_cine(path, frames if counted else iter(frames), frame_rate_hz=24, bayer=bayer, packing=packing)
    stream = CineStream(path)
    read = stream.read(0, len(stream))
    assert read.dtype == (np.uint8 if packing == "u8" else np.uint16)
    np.testing.assert_array_equal(read, frames)
    assert (stream.packing, stream.bayer, stream.frame_rate_hz) == (packing, bayer, 24)


def test_facts_round_trip(tmp_path):
    times_s = np.array([0, 1, 2, 4]) / 1024 + 0.125
    exposure_s = np.array([1, 2, 3, 4]) / 4096
    write_cine(
        tmp_path / "t.cine", FRAMES, frame_rate_hz=1000 / 3, bayer="grbg", packing="u16", bits=12, black_level=64,
        white_level=4000, times_s=times_s, exposure_s=exposure_s, white_balance=(3, 2, 1), trigger_time_s=1.7e9 + 0.5,
        camera="simulated", serial=7,
    )  # fmt: skip
    stream = CineStream(tmp_path / "t.cine")
    np.testing.assert_array_equal(stream.times_s, times_s - times_s[0])
    np.testing.assert_array_equal(stream.exposure_s, exposure_s)
    assert stream.frame_rate_hz == 1000 / 3
    assert (stream.black_level, stream.white_level, stream.bits) == (64, 4000, 12)
    assert stream.white_balance == (1.5, 1, 0.5)
    assert (stream.trigger_time_s, stream.camera, stream.serial) == (1.7e9 + 0.5, "simulated", 7)


def test_p10_rounds_to_the_nearest_entry(tmp_path):
    values = np.arange(4096).reshape(1, 64, 64)
    write_cine(tmp_path / "t.cine", values, frame_rate_hz=1, packing="p10")
    stream = CineStream(tmp_path / "t.cine")
    assert (stream.black_level, stream.white_level) == (64, 4064)
    error = np.abs(stream.read(0, 1).astype(int) - values)
    assert (
        error == np.abs(p10.LINEAR_OF_CODE.astype(int)[:, None] - values.ravel()).min(axis=0).reshape(1, 64, 64)
    ).all()


def test_same_arguments_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_cine(tmp_path / name, FRAMES, frame_rate_hz=24)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_frames_are_taken_one_at_a_time(tmp_path):
    """A frame is on its way to disk before the next one is asked for."""
    alive = []

    def frames():
        for frame in FRAMES:
            alive.append(frame.copy())
            yield alive[-1]
            alive.pop()[:] = 0  # changes nothing any more

    write_cine(tmp_path / "t.cine", frames(), frame_rate_hz=24)
    np.testing.assert_array_equal(CineStream(tmp_path / "t.cine").read(0, 4), FRAMES)


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("packing", ["p12l", "p10", "u16", "u8"])
def test_other_readers_agree(tmp_path, packing, counted):
    raw = pytest.importorskip("pycine.raw")
    frames = p10.LINEAR_OF_CODE[FRAMES % 1024] if packing == "p10" else FRAMES & TOP_VALUE[packing]
    path = tmp_path / "t.cine"
    write_cine(path, list(frames) if counted else iter(frames), frame_rate_hz=24, packing=packing)
    images, _, _ = raw.read_frames(str(path))
    stretched = np.interp(frames, [64, 4064], [0, 4095]).astype(np.uint16) if packing == "p10" else frames
    np.testing.assert_array_equal(list(images), stretched)  # that reader stretches black to white


WRONG = [
    ({"packing": "p14"}, "packing is 'p14', expected one of"),
    ({"bits": 10}, "bits is 10, expected 12 for p12l"),
    ({"packing": "u16", "bits": 17}, "bits is 17, expected 8 to 16"),
    ({"bayer": "rgbg"}, "bayer is 'rgbg'"),
    ({"frame_rate_hz": 0}, "frame_rate_hz is 0"),
    ({"frame_rate_hz": float("nan")}, "frame_rate_hz is nan"),
    ({"black_level": 4095}, r"black and white level are 4095, 4095"),
    ({"white_level": 4096}, r"black and white level are 0, 4096"),
    ({"packing": "p10", "black_level": 0}, r"the curve of P10 fixes \(64, 4064\)"),
    ({"times_s": np.array([0.0, 1, 1, 2])}, "times_s must rise; it does not at frame 2"),
    ({"times_s": np.array([-1.0, 1, 2, 3])}, "times_s from -1.0 to 3.0, expected 0 to"),
    ({"times_s": np.array([0, 1, 2, np.nan])}, "times_s from nan"),
    ({"times_s": np.arange(3.0)}, "more than 3 frames"),
    ({"times_s": np.arange(5.0)}, "got 4 frames, expected 5"),
    ({"exposure_s": 1.0}, "exposure_s from 1.0 to 1.0, expected 0 to 1 s"),
    ({"exposure_s": np.ones(3) / 9}, r"exposure_s has shape \(3,\), expected one value or one per frame \(4\)"),
    ({"white_balance": (1, 0, 1)}, "white_balance is .*, expected three gains above 0"),
    ({"serial": -1}, "serial is -1, expected 0 to"),
    ({"packing": "u8"}, "frame 0 has values .*, expected 0 to 255"),
]


@pytest.mark.parametrize("wrong, message", WRONG, ids=[message[:30] for _, message in WRONG])
def test_wrong_arguments_leave_nothing_behind(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        write_cine(tmp_path / "t.cine", FRAMES, **{"frame_rate_hz": 24, **wrong})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "packing, frames, message",
    [
        ("p12l", [FRAMES[0], FRAMES[1].astype(int) - 4000], "frame 1 has values -.*, expected 0 to 4095"),
        ("p12l", [FRAMES[0], FRAMES[1] * 1.0], "frame 1 is float64, expected integers"),
        ("p12l", [FRAMES[0], FRAMES[1, 1:]], r"frame 1 has shape \(5, 10\), expected \(6, 10\)"),
        ("p12l", [FRAMES], "frame 0 has shape .*, expected .H, W."),
        ("p12l", [FRAMES[0, :5, :5]], "25 pixels are not a multiple of 2, which p12l needs"),
        ("p10", [FRAMES[0, :, :9]], "54 pixels are not a multiple of 4, which p10 needs"),
        ("p12l", iter([]), "got 0 frames, expected at least one"),
    ],
)
def test_wrong_frames_leave_nothing_behind(tmp_path, packing, frames, message):
    with pytest.raises(ValueError, match=message):
        write_cine(tmp_path / "t.cine", frames, frame_rate_hz=24, packing=packing)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept(tmp_path):
    path = tmp_path / "t.cine"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="already exists"):
        write_cine(path, FRAMES, frame_rate_hz=24)
    with pytest.raises(ValueError, match="frame 0 has values"):
        write_cine(path, FRAMES, frame_rate_hz=24, packing="u8", overwrite=True)
    assert path.read_text() == "mine"
    write_cine(path, FRAMES, frame_rate_hz=24, overwrite=True)
    assert len(CineStream(path)) == 4
