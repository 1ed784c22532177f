"""Single photographs, camera raw among them."""

import struct
from pathlib import Path

import numpy as np
import pytest

from olatkit.errors import ConfigError, FormatError
from olatkit.io.images import write_exr, write_png
from olatkit.io.manifests import Pictures
from olatkit.io.photographs import read_mask, read_photograph


def _settings(**given) -> Pictures:
    return Pictures.model_validate(
        {"files": "*", "transfer": "linear", "black_level": 0, "white_level": 65535, **given}
    )


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


def test_camera_raw_states_its_own_levels(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    rng = np.random.default_rng(0)
    mosaic = rng.integers(400, 16000, (64, 96)).astype(np.uint16)
    write_dng(tmp_path / "a.dng", mosaic, black=512, white=15000)
    found = read_photograph(
        tmp_path / "a.dng", _settings(black_level="file", white_level="file", bayer="file")
    )
    assert found.bayer == "rggb"
    assert found.linear == pytest.approx((mosaic.astype(float) - 512) / (15000 - 512), abs=1e-5)
    assert (found.saturated == (mosaic >= 0.985 * 15000)).all()


def test_camera_raw_needs_a_mosaic_and_a_whole_file(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    write_dng(tmp_path / "a.dng", np.zeros((64, 96), np.uint16), black=512, white=15000)
    with pytest.raises(ConfigError, match=r"camera raw holds a mosaic; set 'pictures.bayer' to file"):
        read_photograph(tmp_path / "a.dng", _settings(black_level="file", white_level="file"))
    (tmp_path / "b.dng").write_bytes(b"II*\0 no raw file")
    with pytest.raises(FormatError, match=r"b.dng: cannot be read as camera raw"):
        read_photograph(tmp_path / "b.dng", _settings())


def test_grey_pictures_become_rgb(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.full((4, 5), 32768, np.uint16))
    found = read_photograph(tmp_path / "a.png", _settings())
    assert found.linear.shape == (4, 5, 3)
    assert found.linear == pytest.approx(32768 / 65535)


@pytest.mark.parametrize(("transfer", "code", "light"), [("srgb", 128, 0.215861), ("linear", 51, 0.2), (2.0, 51, 0.04)])
def test_curves(tmp_path: Path, transfer: str | float, code: int, light: float) -> None:
    write_png(tmp_path / "a.png", np.full((2, 2, 3), code, np.uint8))
    found = read_photograph(tmp_path / "a.png", _settings(transfer=transfer, white_level=255))
    assert found.linear == pytest.approx(light, abs=1e-5)


def test_floats_are_linear_and_finite(tmp_path: Path) -> None:
    write_exr(tmp_path / "a.exr", np.full((2, 2, 3), 7.5, np.float32))
    assert read_photograph(tmp_path / "a.exr", _settings(white_level=1)).linear == pytest.approx(7.5)
    with pytest.raises(ConfigError, match=r"'pictures.transfer' must be linear"):
        read_photograph(tmp_path / "a.exr", _settings(white_level=1, transfer="srgb"))
    image = np.zeros((3, 3, 3), np.float32)
    image[1, 2] = np.nan
    write_exr(tmp_path / "b.exr", image)
    with pytest.raises(FormatError, match="value at row 1, column 2 is not finite"):
        read_photograph(tmp_path / "b.exr", _settings(white_level=1))


def test_masks(tmp_path: Path) -> None:
    write_png(tmp_path / "m.png", np.array([[0, 90], [200, 120]], np.uint8))
    assert read_mask(tmp_path / "m.png", (2, 2)).tolist() == [[False, False], [True, True]]
    with pytest.raises(FormatError, match="mask of 2x2 pixels, the pictures have 3x4"):
        read_mask(tmp_path / "m.png", (4, 3))
    write_png(tmp_path / "m.png", np.zeros((2, 2), np.uint8), overwrite=True)
    with pytest.raises(FormatError, match="black everywhere"):
        read_mask(tmp_path / "m.png", (2, 2))
