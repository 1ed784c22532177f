"""Single photographs, camera raw among them."""

from pathlib import Path

import numpy as np
import pytest
from dng_builder import write_dng

from olatkit.errors import ConfigError, FormatError
from olatkit.io.images import write_exr, write_png
from olatkit.io.manifests import Pictures
from olatkit.io.photographs import read_mask, read_photograph


def _settings(**given) -> Pictures:
    return Pictures.model_validate(
        {"files": "*", "transfer": "linear", "black_level": 0, "white_level": 65535, **given}
    )


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
