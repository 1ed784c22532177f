"""Environment maps keep their light when they are turned or made smaller."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import latlong_directions, row_solid_angles

FLOAT32 = 1e-6  # maps are stored in float32


def make_map(height: int = 32, width: int = 64, seed: int = 0) -> EnvironmentMap:
    radiance = np.exp(np.random.default_rng(seed).normal(0, 3, (height, width, 3)))
    return EnvironmentMap(radiance.astype(np.float32))


def test_power_of_a_white_sky() -> None:
    white = EnvironmentMap(np.full((9, 31, 3), 2, np.float32))
    np.testing.assert_allclose(white.power, 8 * np.pi, rtol=1e-12)
    assert white.mean_luminance == pytest.approx(2, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(sizes=st.tuples(*[st.integers(1, 40)] * 4), seed=st.integers(0, 100))
def test_any_size_to_any_size_keeps_the_power(sizes: tuple[int, int, int, int], seed: int) -> None:
    environment = make_map(*sizes[:2], seed)
    small = environment.downsample(*sizes[2:])
    assert small.shape == sizes[2:]
    np.testing.assert_allclose(small.power, environment.power, rtol=FLOAT32)


def test_downsampling_is_the_mean_weighted_by_solid_angle() -> None:
    environment = make_map(64, 128)
    omega = row_solid_angles(64, 128)[:, None, None]
    lit = (environment.radiance * omega).reshape(16, 4, 16, 8, 3).sum(axis=(1, 3))
    area = np.broadcast_to(omega, (64, 128, 1)).reshape(16, 4, 16, 8, 1).sum(axis=(1, 3))
    np.testing.assert_allclose(environment.downsample(16, 16).radiance, lit / area, rtol=FLOAT32)


def test_same_size_and_constant_maps_are_unchanged() -> None:
    environment = make_map(16, 16)
    np.testing.assert_allclose(environment.downsample(16, 16).radiance, environment.radiance, rtol=FLOAT32)
    grey = EnvironmentMap(np.full((33, 57, 3), 0.7, np.float32))
    np.testing.assert_allclose(grey.downsample(16, 16).radiance, 0.7, rtol=FLOAT32)


def test_whole_columns_are_moved_exactly() -> None:
    environment = make_map()
    for columns in range(-64, 65):
        turned = environment.rotate(360 * columns / 64)
        np.testing.assert_array_equal(turned.radiance, np.roll(environment.radiance, -columns, axis=1))


@given(yaw_deg=st.floats(-1000, 1000))
def test_any_yaw_keeps_the_power(yaw_deg: float) -> None:
    environment = make_map()
    np.testing.assert_allclose(environment.rotate(yaw_deg).power, environment.power, rtol=FLOAT32)


def test_a_light_at_the_camera_turned_by_90_degrees_is_at_the_right() -> None:
    radiance = np.zeros((16, 64, 3), np.float32)
    radiance[8, 0] = 1
    turned = EnvironmentMap(radiance).rotate(yaw_deg=90).radiance
    row, column = np.argwhere(turned[..., 0])[0]
    np.testing.assert_allclose(latlong_directions(16, 64)[row, column], (1, 0, 0), atol=0.12)  # half a pixel


def test_half_a_column_shares_the_light() -> None:
    radiance = np.zeros((4, 8, 3), np.float32)
    radiance[2, 3] = 1
    turned = EnvironmentMap(radiance).rotate(-22.5).radiance[2, :, 0]
    assert turned.tolist() == [0, 0, 0, 0.5, 0.5, 0, 0, 0]


def test_look_up_returns_pixels_at_their_centres_and_wraps() -> None:
    environment = make_map()
    np.testing.assert_allclose(environment.look_up(latlong_directions(32, 64)), environment.radiance, rtol=1e-3)
    seam = environment.look_up(np.array([0, 0, 1.0]))
    np.testing.assert_allclose(seam, environment.radiance[15:17][:, [0, -1]].mean(axis=(0, 1)), rtol=1e-4)
    assert EnvironmentMap(np.ones((1, 1, 3), np.float32)).look_up(np.eye(3)).tolist() == [[1, 1, 1]] * 3


@pytest.mark.parametrize("value, message", [
    (np.zeros((4, 8)), r"has shape \(4, 8\)"), (np.zeros((0, 8, 3)), "has shape"),
    (np.full((2, 2, 3), np.nan), "holds 12 values that are not finite"),
    (np.full((2, 2, 3), -1.0), r"negative radiance \(-1\)"),
])
def test_what_is_no_map(value: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnvironmentMap(value)
