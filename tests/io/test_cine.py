"""Reading of .cine files that were built byte by byte, and of real ones against independent readers."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cine_builder import build_cine
from test_packing import read_bits

from olatkit.errors import FormatError
from olatkit.io import p10
from olatkit.io.cine import CineStream
from olatkit.io.cine_writer import write_cine
from olatkit.io.streams import FrameStream

RNG = np.random.default_rng(5)
FRAMES8 = RNG.integers(0, 256, (4, 5, 6), dtype=np.uint8)
CHART_PATCHES = {(350, 130): 2, (340, 290): 1, (335, 455): 0}  # half-size (row, column): channel that is brightest
FRAMES16 = RNG.integers(0, 4096, (4, 5, 6), dtype=np.uint16)


@pytest.fixture
def save(tmp_path):
    def save(content: bytes):
        path = tmp_path / "take.cine"
        path.write_bytes(content)
        return path

    return save


@pytest.mark.parametrize("frames", [FRAMES8, FRAMES16], ids=["u8", "u16"])
@pytest.mark.parametrize("bottom_up", [True, False])
@pytest.mark.parametrize("version", [0, 1])
def test_unpacked_frames(save, frames, bottom_up, version):
    stream = CineStream(save(build_cine(frames, bottom_up=bottom_up, version=version)))
    assert isinstance(stream, FrameStream)
    assert len(stream) == 4
    assert stream.shape == (5, 6)
    read = stream.read(0, 4)
    assert read.dtype == frames.dtype
    np.testing.assert_array_equal(read, frames)
    np.testing.assert_array_equal(stream.read(2, 3), frames[2:3])
    assert stream.read(4, 4).shape == (0, 5, 6)


def test_everything_the_header_says(save, tmp_path):
    second = 1 << 32
    times = 1_700_000_000 * second + np.array([3, 5, 6, 10]) * (second // 16)
    stream = CineStream(
        save(build_cine(FRAMES16, compression=2, cfa=3, times=times, exposures=[1 << 22, 1 << 22, 1 << 21, 1 << 20]))
    )
    assert stream.name == str(tmp_path / "take.cine")
    assert stream.frame_rate_hz == 1000.5
    np.testing.assert_array_equal(stream.times_s, np.array([0, 2, 3, 7]) / 16)
    np.testing.assert_array_equal(stream.exposure_s, np.array([4, 4, 2, 1]) / 4096)
    assert (stream.black_level, stream.white_level, stream.bits) == (64, 4064, 12)
    assert stream.white_balance == (1.5, 1.0, 2.0)
    assert (stream.camera, stream.serial, stream.first_image) == ("Phantom Test", 4711, -5)
    assert stream.trigger_time_s == 1_700_000_000.5
    assert stream.bayer == "gbrg"
    assert "4 frames 6x5, u16, gbrg" in repr(stream)


def test_times_keep_the_last_bit(save):
    """Seconds since 1970 as float64 would be wrong by up to 0.2 microseconds."""
    times = (1_700_000_000 << 32) + np.array([0, 1, 3, (1 << 33) + 1])
    stream = CineStream(save(build_cine(FRAMES16, times=times)))
    assert (stream.times_s * 2.0**32).tolist() == [0, 1, 3, (1 << 33) + 1]


@pytest.mark.parametrize(
    "length, rate, camera, bits, levels, exposure",
    [
        (10416, 1000.5, "Phantom Test", 12, (64, 4064), 9e-4),
        (10407, 1000.0, "Phantom Test", 12, (64, 4064), 9e-4),  # one byte short of dFrameRate
        (10384, 1000.0, "Phantom Test", 12, (64, 4064), 9e-4),
        (10383, 1000.0, "", 12, (64, 4064), 9e-4),
        (5739, 1000.0, "", 12, (64, 4095), 9e-4),  # one byte short of WhiteLevel
            (5735, 1000.0, "", 12, (0, 4095), 9e-4),  # one byte short of BlackLevel
        (1571, 1000.0, "", 12, (0, 4095), None),
        (898, 1000.0, "", 12, (0, 4095), None),  # no RealBPP: biClrImportant has 4096 levels
        (771, 500.0, "", 12, (0, 4095), None),  # FrameRate16 alone
        (144, 500.0, "", 12, (0, 4095), None),
    ],
)
def test_fields_beyond_the_length_of_setup_do_not_exist(save, length, rate, camera, bits, levels, exposure):
    stream = CineStream(save(build_cine(FRAMES16, setup_length=length)))
    assert stream.frame_rate_hz == rate
    assert stream.camera == camera
    assert stream.bits == bits
    assert (stream.black_level, stream.white_level) == levels
    if exposure is None:
        assert stream.exposure_s is None
    else:
        assert stream.exposure_s.tolist() == pytest.approx([exposure] * 4)
    np.testing.assert_array_equal(stream.times_s, np.arange(4) / rate)
    np.testing.assert_array_equal(stream.read(0, 4), FRAMES16)


@pytest.mark.parametrize("code, pattern", [(0, None), (3, "gbrg"), (4, "rggb"), (5, "grbg"), (6, "bggr")])
@pytest.mark.parametrize("height", [4, 5])
@pytest.mark.parametrize("bottom_up", [True, False])
def test_pattern_is_that_of_the_top_left_pixels(save, code, pattern, height, bottom_up):
    stream = CineStream(save(build_cine(FRAMES16[:, :height], compression=2, cfa=code, bottom_up=bottom_up)))
    assert stream.bayer == pattern
    assert (stream.white_balance is None) == (pattern is None)


@pytest.mark.parametrize("code", [1, 2, 7, 255, 0x80000003, 0x10000000])
def test_other_filter_arrays_are_errors(save, code):
    path = save(build_cine(FRAMES16, compression=2, cfa=code))
    with pytest.raises(FormatError, match=rf"take.cine: SETUP.CFA is {code:#x}, expected 0"):
        CineStream(path)
    assert CineStream(path, bayer="bggr").bayer == "bggr"


def test_grey_file_with_a_mosaic_contradicts_itself(save):
    with pytest.raises(FormatError, match=r"Compression 0 \(grey\) contradicts SETUP.CFA 3"):
        CineStream(save(build_cine(FRAMES16, cfa=3)))


def test_given_levels_win_and_survive_pickling(save):
    path = save(build_cine(FRAMES8, fields={5732: ("2i", (64, 4064))}))  # levels of the sensor, but 8 bits stored
    with pytest.raises(FormatError, match=r"white level 4064.*expected 0 <= black < white <= 255; give black_level="):
        CineStream(path)
    stream = pickle.loads(pickle.dumps(CineStream(path, black_level=4, white_level=250)))
    assert (stream.black_level, stream.white_level) == (4, 250)
    np.testing.assert_array_equal(stream.read(0, 4), FRAMES8)


def test_annotations_are_skipped(save):
    stream = CineStream(save(build_cine(FRAMES16, annotation=b"a range signal..")))
    np.testing.assert_array_equal(stream.read(0, 4), FRAMES16)


@pytest.mark.parametrize("start, stop", [(-1, 2), (0, 5), (3, 2), (5, 5)])
def test_ranges_outside_the_stream(save, start, stop):
    stream = CineStream(save(build_cine(FRAMES16)))
    with pytest.raises(IndexError, match=f"take.cine: frames {start} to {stop}, expected a range within 0 to 4"):
        stream.read(start, stop)


def test_threads_share_a_stream(tmp_path):
    frames = RNG.integers(0, 4096, (32, 16, 16), dtype=np.uint16)
    write_cine(tmp_path / "t.cine", frames, frame_rate_hz=10)
    stream = CineStream(tmp_path / "t.cine")
    jobs = [int(start) for start in RNG.integers(0, 28, 200)]
    with ThreadPoolExecutor(4) as pool:
        for start, read in zip(jobs, pool.map(lambda start: stream.read(start, start + 4), jobs), strict=True):
            np.testing.assert_array_equal(read, frames[start : start + 4])


@pytest.mark.parametrize("height", [4, 5])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("code, name", [(3, "gbrg"), (4, "rggb")])
def test_ffmpeg_sees_the_same_rows_and_pattern(save, height, bits, code, name):
    av = pytest.importorskip("av")
    frames = (FRAMES8 if bits == 8 else FRAMES16)[:, :height]
    path = save(build_cine(frames, compression=2, cfa=code))
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0))
    stream = CineStream(path)
    assert picture.format.name.startswith(f"bayer_{name}") == (stream.bayer == name)
    assert stream.bayer == name
    pixels = picture.to_ndarray()
    # FFmpeg fills 16 bits by repeating the upper bits of 12-bit values below
    np.testing.assert_array_equal(pixels if bits == 8 else pixels >> 4, stream.read(0, 1)[0])


@pytest.mark.real_data
def test_flex4k_equals_the_definition_of_the_format(test_data):
    path = test_data / "cine/flex4k_colorchecker_p10.cine"
    stream = CineStream(path)
    assert (stream.bayer, stream.packing, stream.camera) == ("gbrg", "p10", "Phantom Flex4K")
    assert (stream.black_level, stream.white_level, stream.bits) == (64, 4064, 12)
    packed = path.read_bytes()[10528:]
    rows = slice(0, 1080, 216)
    for row in range(*rows.indices(1080)):
        codes = read_bits(packed[row * 2560 : (row + 1) * 2560], 10)
        np.testing.assert_array_equal(stream.read(0, 1)[0, row], p10.LINEAR_OF_CODE[codes])


@pytest.mark.real_data
def test_flex4k_equals_two_other_readers(test_data):
    raw = pytest.importorskip("pycine.raw")
    table = pytest.importorskip("pycine.linLUT").linLUT
    handler = pytest.importorskip("cine_reader.cine")
    path = test_data / "cine/flex4k_colorchecker_p10.cine"
    frame = CineStream(path).read(0, 1)[0]
    np.testing.assert_array_equal(frame, table[raw.unpack_10bit(path.read_bytes()[10528:], 2048, 1080)])
    with handler.Cine(str(path)) as other:
        other.load_frame(other.first_frame_number)
        np.testing.assert_array_equal(frame, other.frame)


@pytest.mark.real_data
def test_flex4k_shows_a_colour_chart_in_its_colours(test_data):
    """Red, green and blue patches (third row of the chart) are so in a half-size demosaic: the pattern is right."""
    frame = CineStream(test_data / "cine/flex4k_colorchecker_p10.cine").read(0, 1)[0].astype(float) - 64
    rgb = np.stack([frame[1::2, ::2], (frame[::2, ::2] + frame[1::2, 1::2]) / 2, frame[::2, 1::2]], axis=-1)
    for (y, x), channel in CHART_PATCHES.items():
        patch = rgb[y - 5 : y + 5, x - 5 : x + 5].mean(axis=(0, 1))
        assert patch.argmax() == channel, (y, x, patch)


@pytest.mark.real_data
def test_timestamps_win_over_the_nominal_rate(test_data):
    stream = CineStream(test_data / "cine/v2012_mono12.cine")
    assert stream.frame_rate_hz == 90_000
    np.testing.assert_allclose(np.diff(stream.times_s), 111.07e-6, atol=0.02e-6)  # the clock of the camera: 20 ns
    assert stream.bayer is None
    assert (stream.bits, stream.black_level, stream.white_level) == (12, 64, 4064)
    frames = stream.read(0, 15)
    assert frames.max() < 4096
    stored = np.frombuffer((test_data / "cine/v2012_mono12.cine").read_bytes()[10948:142020], "<u2")
    np.testing.assert_array_equal(frames[0], stored.reshape(256, 256)[::-1])


@pytest.mark.real_data
def test_simulated_stage_decodes(test_data):
    path = test_data / "stage_perrysmith/capture.cine"
    stream = CineStream(path)
    assert (len(stream), stream.shape, stream.bayer, stream.packing) == (480, (256, 256), "gbrg", "p12l")
    np.testing.assert_allclose(stream.times_s, np.arange(480) / 1000, atol=2.0**-32)
    np.testing.assert_allclose(stream.exposure_s, 9e-4, atol=2.0**-32)
    packed = path.read_bytes()[20392 : 20392 + 98304]
    np.testing.assert_array_equal(stream.read(0, 1).ravel()[:2000], read_bits(packed[:3000], 12))
    # The first frame is not black and the dark background sits at the black level
    assert 60 < np.median(stream.read(100, 101)) < 70
