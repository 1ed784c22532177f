"""Environment maps keep their light and their orientation on the way in."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from olatkit.color import decode_srgb
from olatkit.errors import FormatError
from olatkit.geometry import latlong_directions, row_solid_angles
from olatkit.io.environments import AXES, examine_environment, file_rotation, read_environment
from olatkit.io.images import write_exr, write_png

ONE = np.float32(1)


def one_lit_pixel(row: int = 8, column: int = 16, shape: tuple[int, int] = (16, 32)) -> np.ndarray:
    image = np.zeros((*shape, 3), np.float32)
    image[row, column] = 1, 2, 3
    return image


def test_exr_is_read_as_it_is(tmp_path: Path) -> None:
    image = np.random.default_rng(0).exponential(100, (9, 20, 3)).astype(np.float32)
    write_exr(tmp_path / "studio.exr", image)
    environment = read_environment(tmp_path / "studio.exr")
    np.testing.assert_array_equal(environment.radiance, image)
    assert environment.name == "studio"


@pytest.mark.parametrize("center, column", [("-z", 16), ("+x", 24), ("+z", 0), ("-x", 8)])
def test_center_says_what_the_middle_of_the_file_shows(tmp_path: Path, center: str, column: int) -> None:
    # Column 16 of 32 is just right of the centre; u = 3/4 is +X, the seam +Z, u = 1/4 -X.
    write_exr(tmp_path / "a.exr", one_lit_pixel())
    found = read_environment(tmp_path / "a.exr", center=center).radiance
    np.testing.assert_array_equal(found, one_lit_pixel(column=column))


def test_flip_mirrors_about_the_centre(tmp_path: Path) -> None:
    write_exr(tmp_path / "a.exr", one_lit_pixel(column=20))
    np.testing.assert_array_equal(read_environment(tmp_path / "a.exr", flip=True).radiance, one_lit_pixel(column=11))
    with pytest.raises(ValueError, match="center is 'left'"):
        read_environment(tmp_path / "a.exr", center="left")


def test_center_works_when_the_width_is_no_multiple_of_four(tmp_path: Path) -> None:
    write_exr(tmp_path / "a.exr", np.random.default_rng(1).random((6, 10, 3)).astype(np.float32))
    plain, turned = (read_environment(tmp_path / "a.exr", center=c) for c in ("-z", "+x"))
    np.testing.assert_allclose(turned.power, plain.power, rtol=1e-6)  # float32 pixels


def test_negative_and_nan_become_zero_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = np.full((8, 16, 3), 2, np.float32)
    image[1, 2] = -0.5
    image[3, 4, 0] = np.nan
    write_exr(tmp_path / "a.exr", image)
    with caplog.at_level(logging.WARNING):
        found = read_environment(tmp_path / "a.exr").radiance
    assert len(caplog.records) == 1
    power = 3 * 0.5 * row_solid_angles(8, 16)[1]
    assert "3 negative and 1 NaN values set to 0" in caplog.text
    assert f"negative power {power:.3g}" in caplog.text
    assert found[1, 2].tolist() == [0, 0, 0]
    assert found[3, 4].tolist() == [0, 2, 2]
    assert (np.delete(found.reshape(-1, 3), [18, 52], axis=0) == 2).all()


def test_infinite_values_are_refused_with_their_place(tmp_path: Path) -> None:
    image = np.ones((8, 16, 3), np.float16)
    image[5, 6, 1] = np.inf
    write_exr(tmp_path / "a.exr", image)
    with pytest.raises(FormatError, match="1 infinite value, the first at row 5, column 6"):
        read_environment(tmp_path / "a.exr")


@pytest.mark.parametrize("value, level", [(-1e-3, logging.INFO), (-0.5, logging.WARNING), (np.nan, logging.WARNING)])
def test_traces_of_negative_light_are_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, value: float, level: int
) -> None:
    image = np.full((8, 16, 3), 2, np.float32)
    image[1, 2, 0] = value
    write_exr(tmp_path / "a.exr", image)
    with caplog.at_level(logging.INFO):
        read_environment(tmp_path / "a.exr")
    (record,) = caplog.records
    assert record.levelno == level
    share = abs(value) * row_solid_angles(8, 16)[1] / (3 * 2 * 4 * np.pi)
    said = {
        -1e-3: f"1 slightly negative value set to 0 ({share:.2g} of the whole power)",
        -0.5: f"1 negative value set to 0 (negative power {0.5 * row_solid_angles(8, 16)[1]:.3g}, ",
    }
    assert record.message.partition(": ")[2].startswith(said.get(value, "1 NaN value set to 0"))
    assert ("power" in record.message) == np.isfinite(value)  # only what was found is named
    assert examine_environment(tmp_path / "a.exr")[1] == (record.message.partition(": ")[2],)


@pytest.mark.parametrize("values, message", [
    ([0.0], "the map is black everywhere, expected some light"), ([-1.0], "every value is negative, expected some light"),
    ([np.nan], "every value is NaN, expected some light"),
    ([0.0, np.nan], "the map has no light, only 192 NaN values and zeros, expected some light"),
])
def test_maps_without_light_are_refused(tmp_path: Path, values: list[float], message: str) -> None:
    image = np.resize(np.array(values, np.float32), (8, 16, 1)).repeat(3, axis=2)
    write_exr(tmp_path / "a.exr", image)
    with pytest.raises(FormatError, match=message):
        read_environment(tmp_path / "a.exr")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pictures_are_decoded_from_srgb_with_a_warning(
    tmp_path: Path, dtype: type, caplog: pytest.LogCaptureFixture
) -> None:
    full = np.iinfo(dtype).max
    image = np.full((8, 16, 3), full // 2, dtype)
    image[0] = full
    write_png(tmp_path / "a.png", image)
    with caplog.at_level(logging.WARNING):
        found = read_environment(tmp_path / "a.png").radiance
    assert "decoded as sRGB" in caplog.text
    np.testing.assert_allclose(found[0], 1)
    np.testing.assert_allclose(found[1], decode_srgb((full // 2) / full), rtol=1e-6)


def test_jpeg_grey_and_alpha(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((16, 16, 3), 255, np.uint8))
    np.testing.assert_allclose(read_environment(tmp_path / "a.jpg").radiance, 1)
    write_exr(tmp_path / "y.exr", np.full((4, 8), 3 * ONE))
    np.testing.assert_array_equal(read_environment(tmp_path / "y.exr").radiance, np.full((4, 8, 3), 3 * ONE))
    write_exr(tmp_path / "rgba.exr", np.dstack([one_lit_pixel(), np.zeros((16, 32), np.float32)]))
    np.testing.assert_array_equal(read_environment(tmp_path / "rgba.exr").radiance, one_lit_pixel())


def test_foreign_primaries_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    acescg = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
    srgb_d50 = (0.6484, 0.3309, 0.3212, 0.5979, 0.1559, 0.0661, 0.3457, 0.3585)  # sRGB adapted to D50
    for chromaticities, warned in ((acescg, True), (srgb_d50, False)):
        caplog.clear()
        write_exr(tmp_path / "a.exr", one_lit_pixel(), attributes={"chromaticities": chromaticities}, overwrite=True)
        read_environment(tmp_path / "a.exr")
        assert ("not Rec.709" in caplog.text) is warned


def test_what_is_no_map(tmp_path: Path) -> None:
    (tmp_path / "notes.hdr").write_text("sunny")
    with pytest.raises(FormatError, match="not an image"):
        read_environment(tmp_path / "notes.hdr")
    with pytest.raises(FormatError, match="No such file"):
        read_environment(tmp_path / "missing.hdr")


# Where a file's centre and top belong.

@pytest.mark.parametrize("center", AXES)
@pytest.mark.parametrize("up", AXES)
def test_centre_and_top_row_go_where_they_are_said_to(tmp_path: Path, center: str, up: str) -> None:
    if center[1] == up[1]:
        with pytest.raises(ValueError, match="lie on one axis"):
            file_rotation(center, up)
        return
    rotation = file_rotation(center, up)
    assert np.linalg.det(rotation) == pytest.approx(1)
    directions = latlong_directions(32, 64)
    for file_direction, world in (((0, 0, -1), AXES[center]), ((0, 1, 0), AXES[up])):
        lit = directions @ np.array(file_direction) > np.cos(np.radians(12))
        write_exr(tmp_path / "a.exr", np.repeat(lit[..., None], 3, axis=2).astype(np.float32), overwrite=True)
        found = read_environment(tmp_path / "a.exr", center=center, up=up)
        light = found.radiance[..., 0] * found.solid_angles[:, None]
        centre = np.einsum("hw,hwk->k", light, directions)
        assert centre @ np.array(world) / np.linalg.norm(centre) > 0.999


def test_a_file_on_its_head_is_moved_not_resampled(tmp_path: Path) -> None:
    image = np.random.default_rng(2).random((6, 12, 3)).astype(np.float32)
    write_exr(tmp_path / "a.exr", image)
    np.testing.assert_array_equal(read_environment(tmp_path / "a.exr", up="-y").radiance, image[::-1, ::-1])
    np.testing.assert_array_equal(
        read_environment(tmp_path / "a.exr", center="+z", up="-y").radiance, np.roll(image[::-1, ::-1], 6, axis=1)
    )


# What is odd about a file.

@pytest.mark.parametrize("shape, guess", [
    ((128, 128), "perhaps a mirror ball"), ((90, 120), "perhaps a cube's cross"), ((100, 600), "perhaps a strip"),
    ((100, 130), "100 pixels;"),
])
def test_other_shapes_are_named(tmp_path: Path, shape: tuple[int, int], guess: str) -> None:
    write_exr(tmp_path / "a.exr", np.ones((*shape, 3), np.float32))
    with pytest.raises(FormatError, match=f"{shape[1]} x {shape[0]} pixels.*twice as wide as high") as error:
        read_environment(tmp_path / "a.exr")
    assert guess in str(error.value)
    assert read_environment(tmp_path / "a.exr", any_aspect=True).shape == shape


def test_a_row_more_or_less_is_still_a_map(tmp_path: Path) -> None:
    write_exr(tmp_path / "a.exr", np.ones((127, 256, 3), np.float32))
    assert read_environment(tmp_path / "a.exr").shape == (127, 256)


def test_an_eight_bit_picture_in_an_exr_file_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (64, 128, 3))
    for scale in (1, 1 / 255):
        write_exr(tmp_path / "a.exr", (codes * scale).astype(np.float32), overwrite=True)
        _, notes = examine_environment(tmp_path / "a.exr")
        assert any("an 8-bit picture in an EXR file" in note for note in notes)
    write_exr(tmp_path / "a.exr", rng.random((64, 128, 3)).astype(np.float32), overwrite=True)
    assert examine_environment(tmp_path / "a.exr")[1] == ()


def test_whole_numbers_in_an_exr_file_are_refused(tmp_path: Path) -> None:
    import OpenEXR

    pixels = np.full((8, 16), 200, np.uint32)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, dict.fromkeys("RGB", pixels)).write(str(tmp_path / "a.exr"))
    with pytest.raises(FormatError, match=r"EXR file of whole numbers \(uint32\)"):
        read_environment(tmp_path / "a.exr")


def test_a_clipped_sun_is_named_with_its_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directions = latlong_directions(128, 256)
    sun = np.array([0.5, 0.5, 0.5**0.5])
    image = np.where(directions @ sun > np.cos(np.radians(4)), 65504.0, 0.3)
    write_exr(tmp_path / "a.exr", np.repeat(image[..., None], 3, axis=2).astype(np.float16))
    with caplog.at_level(logging.WARNING):
        read_environment(tmp_path / "a.exr")
    assert "the brightest light (elevation 30, azimuth 35 degrees) is flat over" in caplog.text
    assert "the largest half float" in caplog.text


@pytest.mark.parametrize("width_deg, level", [
    (1.5, logging.WARNING), (4, logging.WARNING), (8, logging.INFO), (18, logging.INFO),
])
def test_a_wide_flat_top_is_a_lamp_and_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, width_deg: float, level: int
) -> None:
    directions = latlong_directions(256, 512)
    image = np.where(directions @ [0.6, 0.0, 0.8] > np.cos(np.radians(width_deg / 2)), 50.0, 0.3)
    write_exr(tmp_path / "a.exr", np.repeat(image[..., None], 3, axis=2).astype(np.float32))
    with caplog.at_level(logging.INFO):
        read_environment(tmp_path / "a.exr")
    (record,) = caplog.records
    assert record.levelno == level
    assert ("sun" in record.message) == (level == logging.WARNING)
    said = float(record.message.partition(" pixels, ")[2].split()[0])
    assert said == pytest.approx(width_deg, abs=0.35)  # half a pixel on either side


def test_lossy_files_keep_their_light_and_lose_their_small_negatives(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = np.exp(rng.normal(0, 1, (64, 128, 3))).astype(np.float32)
    image[40:, :] = 0
    for compression, tolerance in (("zip", 1e-3), ("piz", 1e-3), ("pxr24", 1e-3), ("dwaa", 0.02), ("dwab", 0.02)):
        write_exr(tmp_path / "a.exr", image.astype(np.float16), compression=compression, overwrite=True)
        environment, _ = examine_environment(tmp_path / "a.exr")
        assert (environment.radiance >= 0).all()
        np.testing.assert_allclose(environment.power, np.einsum("hwc,h->c", image, row_solid_angles(64, 128)),
                                   rtol=tolerance)  # half floats; the quality 45 of DWA


@pytest.mark.real_data
def test_real_maps_keep_their_power_at_16x16(test_data: Path) -> None:
    paths = sorted((test_data / "hdri").glob("*.hdr")) + sorted((test_data / "hdri").glob("*.exr"))
    assert len(paths) == 18
    for path in paths:
        environment = read_environment(path)
        assert environment.shape == (512, 1024)
        # float32 storage of the 16x16 form.
        np.testing.assert_allclose(environment.downsample().power, environment.power, rtol=1e-6)
