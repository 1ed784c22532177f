"""The forms for diffusion relighters: their formulas, ranges, and that they can be undone."""

import json
from pathlib import Path

import numpy as np
import pytest

from olatkit.color import decode_srgb
from olatkit.envmap import EnvironmentMap
from olatkit.errors import OutputExistsError
from olatkit.geometry import latlong_directions
from olatkit.io.images import read_image
from olatkit.jobs.encode_map import FILES, encode_map
from olatkit.render.encodings import encode_directions, encode_ldr, encode_log
from olatkit.render.sh import project_sh

LADDER = np.array([0, 1e-4, 0.18, 1, 5, 15.9])


def sunny_map() -> EnvironmentMap:
    radiance = np.random.default_rng(0).exponential(1, (64, 128, 3)).astype(np.float32)
    radiance[20, 40] = 5e4
    return EnvironmentMap(radiance, "sunny")


def test_the_tone_curve_keeps_order_and_ends_at_its_white_point() -> None:
    encoded = encode_ldr(LADDER)
    assert (np.diff(encoded) > 0).all()
    assert encode_ldr(np.array([16, 1e5])).tolist() == [1, 1]
    linear = decode_srgb(encoded.astype(float))
    np.testing.assert_allclose(linear, LADDER * (1 + LADDER / 256) / (1 + LADDER), rtol=1e-5, atol=1e-7)


def test_the_logarithm_can_be_undone_up_to_10000() -> None:
    values = np.array([0, 0.01, 1, 300, 9999])
    encoded = encode_log(values).astype(float)
    assert encoded.min() == 0
    assert encoded.max() <= 1
    np.testing.assert_allclose(np.expm1(decode_srgb(encoded) * np.log1p(10_000)), values, rtol=1e-4, atol=1e-6)
    assert encode_log(np.array([1e5])).tolist() == [1]


def test_directions_are_those_of_the_pixels() -> None:
    directions = encode_directions(16, 32)
    assert directions.dtype == np.float32
    np.testing.assert_allclose(directions, latlong_directions(16, 32), atol=1e-7)


def test_all_forms_are_written_and_hold_the_map(tmp_path: Path) -> None:
    environment = sunny_map()
    paths = encode_map(environment, tmp_path, size=(32, 64), ball_px=32)
    assert [path.name for path in paths] == [f"sunny_{file}" for files in FILES.values() for file in files]
    cells = read_image(tmp_path / "sunny_16x16.exr")
    np.testing.assert_array_equal(cells, environment.downsample().radiance)
    np.testing.assert_array_equal(np.load(tmp_path / "sunny_16x16.npy"), cells.reshape(768))
    small = environment.downsample(32, 64).radiance
    np.testing.assert_array_equal(read_image(tmp_path / "sunny_log.exr"), encode_log(small))
    assert np.abs(read_image(tmp_path / "sunny_ldr.png") / 255 - encode_ldr(small)).max() < 0.502 / 255
    assert read_image(tmp_path / "sunny_dir.exr").shape == (32, 64, 3)
    for order in (2, 4):
        document = json.loads((tmp_path / f"sunny_sh{order}.json").read_text())
        assert document["order"] == order
        np.testing.assert_allclose(document["coefficients"], project_sh(environment, order))
    with pytest.raises(OutputExistsError, match=r"sunny_sh2\.json"):
        encode_map(environment, tmp_path, ["sh2"])
    encode_map(environment, tmp_path, ["sh2"], overwrite=True)


def test_the_ball_reflects_the_camera_s_side_in_its_middle(tmp_path: Path) -> None:
    radiance = np.zeros((32, 64, 3), np.float32)
    radiance[14:18, [0, 1, -2, -1]] = 1  # +Z
    radiance[14:18, 46:50] = 2  # +X, the picture's right
    encode_map(EnvironmentMap(radiance, "two"), tmp_path, ["ball"], ball_px=65)
    ball = read_image(tmp_path / "two_ball.exr")
    assert ball[32, 32, 0] == pytest.approx(1, abs=0.02)
    right = np.argwhere(ball[..., 0] > 1.5).mean(axis=0)
    assert right[0] == pytest.approx(32, abs=1)
    assert (right[1] + 0.5) / 65 * 2 - 1 == pytest.approx(np.sin(np.radians(45)), abs=0.06)  # normal half way to +X
    assert ball[0, 0].tolist() == [0, 0, 0]


def test_unit_mean_scales_all_forms(tmp_path: Path) -> None:
    encode_map(sunny_map(), tmp_path, ["16x16", "sh2"], unit_mean=True)
    cells = EnvironmentMap(read_image(tmp_path / "sunny_16x16.exr"))
    assert cells.mean_luminance == pytest.approx(1, rel=1e-6)


def test_unknown_forms_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="form 'cube' is unknown, expected some of 16x16, triple"):
        encode_map(sunny_map(), tmp_path, ["cube"])
    assert not any(tmp_path.iterdir())
