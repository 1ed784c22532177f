"""Images survive the disk exactly, and every silent failure of the image libraries is caught."""

import struct
from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from olatkit.errors import FormatError, OutputExistsError
from olatkit.io.images import (
    read_exr,
    read_exr_header,
    read_hdr,
    read_image,
    read_picture,
    to_half,
    write_exr,
    write_exr_parts,
    write_png,
)
from olatkit.io.png_text import read_text


@pytest.fixture
def picture(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(12, 18, 3)).astype(np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def write_raw_exr(path: Path, channels: dict[str, np.ndarray], **header: object) -> None:
    """An EXR file straight from the library, without the wrapper under test."""
    base = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(base | header, channels).write(str(path))


def make_hdr(rgb: np.ndarray, extra_header: bytes = b"") -> bytes:
    data = cv2.imencode(".hdr", np.ascontiguousarray(rgb[..., ::-1]))[1].tobytes()
    return data.replace(b"FORMAT=", extra_header + b"FORMAT=", 1)


# Trap: the OpenEXR module ignores strides and writes other memory without an error.

@pytest.mark.parametrize("view", [
    lambda a: a[..., ::-1], lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a[2:9, 3:15], lambda a: a[::2, ::3],
    lambda a: a.transpose(1, 0, 2), lambda a: a[..., 0], lambda a: np.asfortranarray(a),
    lambda a: np.broadcast_to(a[..., :1], a.shape),
], ids=["bgr", "upside-down", "mirrored", "window", "every-second", "transposed", "plane", "fortran", "broadcast"])
def test_exr_writes_the_values_of_any_view(tmp_path: Path, picture: np.ndarray, view) -> None:
    seen = view(picture)
    write_exr(tmp_path / "a.exr", seen)
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), seen)


@settings(max_examples=25, deadline=None)
@given(image=arrays.arrays(
    np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4])),
    elements=st.floats(width=32, allow_nan=False)))
def test_exr_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, image: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("exr") / "a.exr"
    write_exr(path, image)
    np.testing.assert_array_equal(read_exr(path), image)


# Trap: float64 is refused by the library, and a group of channels must share one dtype.

def test_exr_stores_float64_as_float32(tmp_path: Path, picture: np.ndarray) -> None:
    write_exr(tmp_path / "a.exr", picture.astype(np.float64))
    back = read_exr(tmp_path / "a.exr")
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, picture)


def test_exr_keeps_half(tmp_path: Path, picture: np.ndarray) -> None:
    write_exr(tmp_path / "a.exr", picture.astype(np.float16))
    back = read_exr(tmp_path / "a.exr")
    assert back.dtype == np.float16
    np.testing.assert_array_equal(back, picture.astype(np.float16))


def test_exr_reads_channels_of_different_dtypes(tmp_path: Path, picture: np.ndarray) -> None:
    red = picture[..., 0].astype(np.float16)
    write_raw_exr(tmp_path / "a.exr", {"R": red, "G": picture[..., 1].copy(), "B": picture[..., 2].copy()})
    back = read_exr(tmp_path / "a.exr")
    np.testing.assert_array_equal(back, np.dstack([red.astype(np.float32), picture[..., 1], picture[..., 2]]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, bool])
def test_exr_refuses_integers(tmp_path: Path, dtype: type) -> None:
    with pytest.raises(TypeError, match="convert to linear floats"):
        write_exr(tmp_path / "a.exr", np.ones((4, 4, 3), dtype))
    assert not list(tmp_path.iterdir())


def test_values_that_do_not_fit_are_refused_not_made_infinite(tmp_path: Path) -> None:
    sun = np.full((2, 2, 3), 70000.0, np.float32)
    with pytest.raises(ValueError, match=r"12 values up to 70000 beyond half"):
        to_half(sun)
    with pytest.raises(ValueError, match="do not fit 32-bit floats"):
        write_exr(tmp_path / "a.exr", np.full((2, 2, 3), 1e300))
    assert to_half(np.float32([65504, np.inf, -1])).tolist() == [65504, np.inf, -1]


# Trap: windows must be pairs of int32 arrays, and the pixels of a file cover its data window only.

def test_exr_data_window_is_placed_in_the_display_window(tmp_path: Path, picture: np.ndarray) -> None:
    windows = {"dataWindow": ((2, 3), (19, 14)), "displayWindow": ((0, 0), (29, 19))}
    write_exr(tmp_path / "a.exr", picture, attributes=windows)
    expected = np.zeros((20, 30, 3), np.float32)
    expected[3:15, 2:20] = picture
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), expected)


def test_exr_overscan_is_cut(tmp_path: Path, picture: np.ndarray) -> None:
    write_exr(tmp_path / "a.exr", picture, attributes={
        "dataWindow": ((-4, -2), (13, 9)), "displayWindow": ((0, 0), (9, 5))})
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), picture[2:8, 4:14])


def test_exr_attributes_round_trip(tmp_path: Path, picture: np.ndarray) -> None:
    write_exr(tmp_path / "a.exr", picture, attributes={"owner": "stage 1", "exposureStops": 1.5})
    header = read_exr_header(tmp_path / "a.exr")
    assert header["owner"] == "stage 1"
    assert header["exposureStops"] == pytest.approx(1.5)


# Channel names.

@pytest.mark.parametrize("grouped", [True, False])
def test_exr_reads_rgb_grouped_or_not(tmp_path: Path, picture: np.ndarray, grouped: bool) -> None:
    planes = {name: picture[..., i].copy() for i, name in enumerate("RGB")}
    write_raw_exr(tmp_path / "a.exr", {"RGB": picture} if grouped else planes)
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), picture)


def test_exr_reads_rgba_luminance_and_single_channels(tmp_path: Path, picture: np.ndarray) -> None:
    rgba = np.dstack([picture, picture[..., :1]])
    for name, value in (("RGBA", rgba), ("Y", picture[..., 1].copy()), ("depth", picture[..., 2].copy())):
        write_raw_exr(tmp_path / "a.exr", {name: value})
        np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), value)


def test_exr_extra_channels_do_not_disturb_rgb(tmp_path: Path, picture: np.ndarray) -> None:
    write_raw_exr(tmp_path / "a.exr", {"RGB": picture, "Z": picture[..., 0].copy()})
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), picture)


def test_exr_layers(tmp_path: Path, picture: np.ndarray) -> None:
    write_raw_exr(tmp_path / "one.exr", {"diffuse.RGB": picture})
    np.testing.assert_array_equal(read_exr(tmp_path / "one.exr"), picture)
    write_raw_exr(tmp_path / "two.exr", {"diffuse.RGB": picture, "gloss.RGB": 2 * picture})
    np.testing.assert_array_equal(read_exr(tmp_path / "two.exr", layer="gloss"), 2 * picture)
    with pytest.raises(FormatError, match="name a layer"):
        read_exr(tmp_path / "two.exr")


def test_exr_wrong_channels_are_named(tmp_path: Path, picture: np.ndarray) -> None:
    write_raw_exr(tmp_path / "a.exr", {"U": picture[..., 0].copy(), "V": picture[..., 1].copy()})
    with pytest.raises(FormatError, match=r"a\.exr: expected channels R, G, B.*found U, V"):
        read_exr(tmp_path / "a.exr")


@pytest.mark.parametrize("shape", [(4, 4, 2), (4,), (0, 4, 3), (1, 4, 4, 3)])
def test_exr_refuses_other_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected \\(H, W\\)"):
        write_exr(tmp_path / "a.exr", np.zeros(shape, np.float32))


def test_exr_multi_part(tmp_path: Path, picture: np.ndarray) -> None:
    write_exr_parts(tmp_path / "a.exr", {"key": picture, "fill": picture[::-1, :, 0]})
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), picture)
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr", part="fill"), picture[::-1, :, 0])
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr", part=1), picture[::-1, :, 0])
    with pytest.raises(FormatError, match="no part 'rim'; its parts are \\['key', 'fill'\\]"):
        read_exr(tmp_path / "a.exr", part="rim")


def test_exr_dwa_is_read(tmp_path: Path) -> None:
    # A smooth picture: DWA drops fine detail by design, at most a few per cent.
    ramp = np.linspace(0.1, 1, 64, dtype=np.float32)
    smooth = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], 0.5), axis=-1).astype(np.float32)
    for compression in ("dwab", "dwaa", "piz", "zips"):
        write_exr(tmp_path / "a.exr", smooth, compression=compression, overwrite=True)
        assert np.abs(read_exr(tmp_path / "a.exr") / smooth - 1).max() < 0.05
    with pytest.raises(ValueError, match="unknown EXR compression 'jpeg'"):
        write_exr(tmp_path / "a.exr", smooth, compression="jpeg")


# Trap: imageio hands .exr to a video reader and reads .hdr as 8 bit; OpenCV cannot read .exr at all.

def test_the_libraries_still_fail_where_the_wrappers_do_not(tmp_path: Path) -> None:
    bright = np.full((16, 16, 3), 40.0, np.float32)
    (tmp_path / "a.hdr").write_bytes(make_hdr(bright))
    assert iio.imread(tmp_path / "a.hdr").dtype == np.uint8
    assert read_image(tmp_path / "a.hdr").max() == pytest.approx(40, rel=0.01)
    write_exr(tmp_path / "a.exr", bright)
    np.testing.assert_array_equal(read_image(tmp_path / "a.exr"), bright)


def test_package_reads_images_through_this_module_only() -> None:
    package = Path(__import__("olatkit").__file__).parent
    users = {p.relative_to(package).as_posix() for p in package.rglob("*.py")
             if "import imageio" in p.read_text() or "import OpenEXR" in p.read_text()}
    assert "io/exr.py" in users
    assert all(user.startswith("io/") for user in users)


# Radiance HDR.

def test_hdr_is_float_rgb(tmp_path: Path, rng: np.random.Generator) -> None:
    rgb = np.exp(rng.uniform(-4, 8, (20, 30, 3))).astype(np.float32)
    (tmp_path / "a.hdr").write_bytes(make_hdr(rgb))
    back = read_hdr(tmp_path / "a.hdr")
    assert back.dtype == np.float32
    assert back.flags.c_contiguous
    # RGBE keeps eight bits of the largest channel, which bounds every channel's error.
    assert (np.abs(back - rgb) <= rgb.max(axis=2, keepdims=True) / 127).all()


def test_hdr_and_png_are_rgb_not_bgr(tmp_path: Path) -> None:
    red = np.zeros((8, 8, 3), np.float32)
    red[..., 0] = 2
    (tmp_path / "a.hdr").write_bytes(make_hdr(red))
    np.testing.assert_array_equal(read_hdr(tmp_path / "a.hdr"), red)
    write_png(tmp_path / "a.png", red.astype(np.uint8))
    np.testing.assert_array_equal(iio.imread(tmp_path / "a.png", plugin="pillow"), red)


def test_hdr_exposure_is_divided_out(tmp_path: Path) -> None:
    (tmp_path / "a.hdr").write_bytes(make_hdr(np.full((8, 8, 3), 3, np.float32), b"EXPOSURE=2.0\nEXPOSURE= 0.5\n"))
    np.testing.assert_array_equal(read_hdr(tmp_path / "a.hdr"), 3)
    (tmp_path / "b.hdr").write_bytes(make_hdr(np.full((8, 8, 3), 3, np.float32), b"EXPOSURE=4\n"))
    np.testing.assert_array_equal(read_hdr(tmp_path / "b.hdr"), 0.75)


@pytest.mark.parametrize("change, message", [
    (lambda d: d.replace(b"rgbe\n", b"xyze\n"), "32-bit_rle_xyze"),
    (lambda d: d.replace(b"FORMAT", b"EXPOSURE=-1\nFORMAT"), "EXPOSURE"),
    (lambda d: d[: len(d) // 2], "damaged or truncated"),
    (lambda d: b"P6 8 8 255\n" + d, "not a Radiance HDR file"),
])
def test_hdr_damage_is_one_line(tmp_path: Path, change, message: str) -> None:
    (tmp_path / "a.hdr").write_bytes(change(make_hdr(np.ones((32, 32, 3), np.float32))))
    with pytest.raises(FormatError, match=message) as caught:
        read_hdr(tmp_path / "a.hdr")
    assert "\n" not in str(caught.value)


# PNG.

@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3), (9, 7, 4)])
def test_png_round_trip_is_exact(tmp_path: Path, rng: np.random.Generator, dtype: type, shape: tuple[int, ...]) -> None:
    image = rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    write_png(tmp_path / "a.png", image[::-1])
    back = read_picture(tmp_path / "a.png")
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, image[::-1])


def test_png_refuses_floats(tmp_path: Path, picture: np.ndarray) -> None:
    with pytest.raises(TypeError, match="to_srgb8"):
        write_png(tmp_path / "a.png", picture)


# Any format: content decides, damage is one line, nothing is overwritten or left half-written.

def test_content_decides_not_the_name(tmp_path: Path, picture: np.ndarray) -> None:
    write_exr(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)
    write_png(tmp_path / "b.exr", np.ones((4, 4), np.uint8))
    with pytest.raises(FormatError, match="not an OpenEXR file"):
        read_exr(tmp_path / "b.exr")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", ["a.exr", "parts.exr", "a.hdr", "a.png", "a.jpg"])
def test_truncated_files_are_named(tmp_path: Path, rng: np.random.Generator, name: str, share: float) -> None:
    noise = rng.integers(0, 255, (64, 48, 3), np.uint8)
    if name == "parts.exr":
        write_exr_parts(tmp_path / name, {"a": noise.astype(np.float32), "b": noise.astype(np.float32)})
    elif name == "a.exr":
        write_exr(tmp_path / name, noise.astype(np.float32))
    elif name == "a.hdr":
        (tmp_path / name).write_bytes(make_hdr(noise.astype(np.float32)))
    else:
        (tmp_path / name).write_bytes(cv2.imencode(name[1:], noise)[1].tobytes())
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FormatError, match=name) as caught:
        read_image(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content, message", [
    (b"", "empty"), (b"hello, this is text", "not an image"), (struct.pack("<I", 20000630) + b"x" * 40, "damaged"),
    (None, "cannot be read: No such file"),
])
def test_what_is_no_image(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.exr").write_bytes(content)
    with pytest.raises(FormatError, match=message):
        read_image(tmp_path / "a.exr")


def test_existing_files_are_kept(tmp_path: Path, picture: np.ndarray) -> None:
    write_exr(tmp_path / "a.exr", picture)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write_exr(tmp_path / "a.exr", 2 * picture)
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), picture)
    write_exr(tmp_path / "a.exr", 2 * picture, overwrite=True)
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), 2 * picture)
    assert [p.name for p in tmp_path.iterdir()] == ["a.exr"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise RuntimeError("No space left\non device")

    monkeypatch.setattr(OpenEXR.File, "write", full)
    with pytest.raises(OSError, match="No space left on device"):
        write_exr(tmp_path / "a.exr", picture)
    assert not list(tmp_path.iterdir())


# Texts beside the pixels of PNG files.

def test_texts_of_a_png_are_read_by_others_and_change_no_pixel(tmp_path: Path, rng: np.random.Generator) -> None:
    image = rng.integers(0, 65536, (5, 7, 3)).astype(np.uint16)
    texts = {"take": "anna.olat.h5", "environment": "Zürich, 夜", "yawDegrees": 22.5, "Software": "olatkit"}
    write_png(tmp_path / "a.png", image, texts=texts)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), image)
    expected = {key: str(value) for key, value in texts.items()}
    assert read_text((tmp_path / "a.png").read_bytes()) == expected
    found = iio.immeta(tmp_path / "a.png", plugin="pillow")
    assert {key: found[key] for key in texts} == expected
    with pytest.raises(ValueError, match="PNG keyword ''"):
        write_png(tmp_path / "b.png", image, texts={"": "nothing"})
    assert not (tmp_path / "b.png").exists()


def test_texts_of_damaged_and_foreign_files_are_none(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((2, 2), np.uint8), texts={"take": "anna"})
    data = (tmp_path / "a.png").read_bytes()
    assert read_text(data[:50]) == {}
    assert read_text(b"") == read_text(b"II*\0 and more") == {}
