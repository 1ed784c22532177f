"""Streams from folders of images and from video: the same protocol, the same values."""

import pickle

import numpy as np
import pytest
from dng_builder import write_dng
from stream_checks import COLOUR8, FLOATS, MOSAIC, RNG, check_protocol, write_sidecar

from olatkit.color import encode_srgb
from olatkit.errors import FormatError
from olatkit.io.images import write_exr, write_png
from olatkit.io.sources import open_stream
from olatkit.io.streams import FrameStream
from olatkit.io.transfer import make_transfer_table, parse_transfer

# Folders of images


def save_pngs(folder, frames, names="f_{:04d}.png"):
    for number, frame in enumerate(frames):
        write_png(folder / names.format(number + 8), frame)  # 8 to 12: text order is not number order


def test_folder_of_mosaics_is_linear(tmp_path):
    save_pngs(tmp_path, MOSAIC, "f{}.png")
    write_sidecar(tmp_path / "stream.json", bayer="gbrg", black_level=64, white_level=4095)
    stream = open_stream(tmp_path)
    check_protocol(stream, MOSAIC)
    assert (stream.bayer, stream.black_level, stream.white_level) == ("gbrg", 64, 4095)


def test_folder_of_tiffs(tmp_path):
    cv2 = pytest.importorskip("cv2")
    for number, frame in enumerate(MOSAIC):
        assert cv2.imwrite(str(tmp_path / f"{number}.tiff"), frame)
    write_sidecar(tmp_path / "stream.json", transfer="linear", white_level=65535)
    check_protocol(open_stream(tmp_path), MOSAIC)


def test_folder_of_exr_is_linear(tmp_path):
    for number, frame in enumerate(FLOATS):
        write_exr(tmp_path / f"{number}.exr", frame)
    write_sidecar(tmp_path / "stream.json")
    stream = open_stream(tmp_path)
    check_protocol(stream, FLOATS)
    assert (stream.black_level, stream.white_level) == (0, 1)


def test_folder_of_camera_raw_states_pattern_and_levels(tmp_path):
    pytest.importorskip("rawpy")
    rng = np.random.default_rng(2)
    frames = rng.integers(400, 16000, (5, 64, 96), dtype=np.uint16)
    for number, frame in enumerate(frames):
        write_dng(tmp_path / f"clip_{number + 8}.dng", frame, black=512, white=15000)
    write_sidecar(tmp_path / "stream.json")
    stream = open_stream(tmp_path)
    check_protocol(stream, frames)
    assert (stream.bayer, stream.black_level, stream.white_level) == ("rggb", 512, 15000)
    write_sidecar(tmp_path / "stream.json", black_level=510, bayer="bggr")
    stream = open_stream(tmp_path)
    assert (stream.bayer, stream.black_level, stream.white_level) == ("bggr", 510, 15000)
    (tmp_path / "clip_9.dng").write_bytes(b"II*\0 no raw file")
    with pytest.raises(FormatError, match=r"clip_9.dng: cannot be read as camera raw"):
        stream.read(0, 3)


def test_srgb_images_become_linear(tmp_path):
    save_pngs(tmp_path, COLOUR8)
    write_sidecar(tmp_path / "stream.json", transfer="srgb")
    stream = open_stream(tmp_path)
    check_protocol(stream, make_transfer_table("srgb", 256)[COLOUR8])
    np.testing.assert_allclose(encode_srgb(stream.read(0, 5)) * 255, COLOUR8, atol=1e-3)  # float32
    gamma = open_stream(tmp_path, transfer=2.0)  # an argument wins
    np.testing.assert_allclose(gamma.read(0, 5), (COLOUR8 / 255) ** 2, rtol=1e-6)
    linear = open_stream(tmp_path, transfer="linear")
    assert linear.white_level == 255
    check_protocol(linear, COLOUR8)


@pytest.mark.parametrize(
    "sidecar, message",
    [
        ({}, "stream.json: transfer is missing; say 'linear', 'srgb'"),
        ({"transfer": "log"}, "stream.json: transfer is 'log', expected 'srgb'"),
        ({"transfer": "srgb", "white_level": 200}, "levels belong to linear images"),
        ({"transfer": "linear", "times_s": [1, 2]}, r"stream.json: .*times_s has shape \(2,\)"),
    ],
)
def test_folder_and_sidecar_must_fit(tmp_path, sidecar, message):
    save_pngs(tmp_path, COLOUR8)
    write_sidecar(tmp_path / "stream.json", **sidecar)
    with pytest.raises(FormatError, match=message):
        open_stream(tmp_path)


def test_a_missing_image_is_noticed(tmp_path):
    save_pngs(tmp_path, COLOUR8)
    write_sidecar(tmp_path / "stream.json", transfer="srgb")
    (tmp_path / "f_0010.png").unlink()
    with pytest.raises(FormatError, match=r"image number 10 is missing .8 to 12, 4 images.*times_s"):
        open_stream(tmp_path)
    write_sidecar(tmp_path / "stream.json", transfer="srgb", times_s=[0, 0.001, 0.003, 0.004])
    assert open_stream(tmp_path).times_s.tolist() == [0, 0.001, 0.003, 0.004]


def test_images_must_agree(tmp_path):
    save_pngs(tmp_path, COLOUR8)
    write_png(tmp_path / "f_0010.png", COLOUR8[2, :3], overwrite=True)
    write_sidecar(tmp_path / "stream.json", transfer="srgb")
    stream = open_stream(tmp_path)
    assert stream.read(0, 2).shape == (2, 4, 6, 3)
    with pytest.raises(FormatError, match=r"f_0010.png: \(3, 6, 3\) uint8, expected \(4, 6, 3\) uint8 like the first"):
        stream.read(0, 5)


@pytest.mark.parametrize(
    "names, message",
    [
        ([], "images of kinds none, expected one kind"),
        (["a1.png", "a2.exr"], r"images of kinds \['.exr', '.png'\], expected one kind"),
        (["a1.png", "b1.png"], "b1.png: same number 1 as a1.png"),
        (["a.png"], "a.png: no number in the name"),
        (["a1.dng", "a2.png"], r"images of kinds \['.dng', '.png'\], expected one kind"),
    ],
)
def test_folders_that_are_no_stream(tmp_path, names, message):
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FormatError, match=message):
        open_stream(tmp_path)


# Video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Lossless 10-frame video of RGB noise with key frames every fourth frame and one frame dropped."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("video") / "clip.mkv"
    frames = RNG.integers(0, 256, (10, 32, 48, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0", "g": "4", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "rgb24"
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = number + (number >= 6)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path, frames


@pytest.mark.parametrize("transfer", ["srgb", "rec709", "linear", 2.2, "2.2"])
def test_video_is_linear_light(video, transfer):
    path, frames = video
    stream = open_stream(path, transfer=transfer)
    assert isinstance(stream, FrameStream)
    assert (len(stream), stream.shape, stream.bayer) == (10, (32, 48, 3), None)
    assert (stream.black_level, stream.white_level) == (0, 1)
    read = stream.read(0, 10)
    assert read.dtype == np.float32
    # FFmpeg goes from RGB to 16 bits by way of YUV, within 0.2 steps of 8 bits; curves are up to 2.4 times as steep
    np.testing.assert_allclose(read, make_transfer_table(transfer, 256)[frames], atol=2.4 * 0.2 / 255)


@pytest.mark.parametrize(
    "pixels, white", [("yuv420p", 235), ("yuv444p", 235), ("yuv420p10le", 940), ("gray", 255), ("gbrp10le", 1023)]
)
def test_white_is_one_in_every_pixel_format(tmp_path, pixels, white):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "w.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, pixels
        picture = av.VideoFrame(32, 16, pixels)
        bits = picture.format.components[0].bits
        for index, plane in enumerate(picture.planes):
            code = white if index == 0 or pixels.startswith("g") else 2 ** (bits - 1)  # chroma: neutral
            dtype = np.dtype("<u2" if bits > 8 else "u1")
            plane.update(np.full(plane.buffer_size // dtype.itemsize, code, dtype).tobytes())
        container.mux(stream.encode(picture))
        container.mux(stream.encode())
    read = open_stream(tmp_path / "w.mkv", transfer="linear").read(0, 1)
    np.testing.assert_allclose(read, 1, atol=1e-4)  # FFmpeg rounds to a few steps of 65280


def test_video_reads_any_range_in_any_order(video):
    path, _ = video
    stream = pickle.loads(pickle.dumps(open_stream(path, transfer="srgb")))
    whole = stream.read(0, 10)
    for start, stop in [(9, 10), (3, 8), (0, 1), (4, 5), (5, 10), (2, 2)]:
        np.testing.assert_array_equal(stream.read(start, stop), whole[start:stop])


def test_video_times_keep_gaps(video):
    stream = open_stream(video[0], transfer="srgb")
    ticks = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10]
    np.testing.assert_allclose(stream.times_s, np.array(ticks) / 25, atol=1e-3)  # Matroska counts milliseconds


def test_video_needs_a_transfer_curve(video):
    with pytest.raises(ValueError, match=r"clip.mkv: video is not linear: give transfer='srgb', 'rec709'"):
        open_stream(video[0])
    with pytest.raises(ValueError, match="transfer is 'log'"):
        open_stream(video[0], transfer="log")


@pytest.mark.parametrize("length", [0, 10, 200])
def test_truncated_video(video, tmp_path, length):
    (tmp_path / "cut.mkv").write_bytes(video[0].read_bytes()[:length])
    with pytest.raises(FormatError, match=r"cut.mkv: (not a video that can be read|has no)"):
        open_stream(tmp_path / "cut.mkv", transfer="srgb")


@pytest.mark.real_data
def test_real_video(test_data):
    stream = open_stream(test_data / "portraits/carphone.mp4", transfer="rec709")
    assert (len(stream), stream.shape) == (120, (144, 176, 3))
    assert stream.frame_rate_hz == pytest.approx(30000 / 1001)
    np.testing.assert_array_equal(stream.read(77, 79), stream.read(70, 80)[7:9])


# Transfer curves


@pytest.mark.parametrize("transfer", ["srgb", "rec709", "linear", 0.45, 2.4])
def test_tables_rise_from_zero_to_one(transfer):
    table = make_transfer_table(transfer, 65536)
    assert (table[0], table[-1]) == (0, 1)
    assert (np.diff(table) >= 0).all()
    assert np.diff(table).max() < 2e-4 or transfer == 0.45  # no jump where the pieces of a curve meet


def test_rec709_is_the_inverse_of_the_camera_curve():
    light = np.array([0.01, 0.018, 0.1, 0.5, 1])
    code = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
    table = make_transfer_table("rec709", 65536)
    np.testing.assert_allclose(
        np.interp(code * 65535, np.arange(65536), table), light, atol=2e-4
    )  # BT.709 has 3 digits


@pytest.mark.parametrize("transfer", ["log", "", None, 0, -2.2, 9, float("nan")])
def test_unknown_curves(transfer):
    with pytest.raises(ValueError, match=r"transfer is .*, expected 'srgb', 'rec709', 'linear' or a gamma"):
        parse_transfer(transfer)
