"""Environment maps keep their light when they are turned or made smaller."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.envmap import EnvironmentMap, find_clipped_light
from olatkit.geometry import latlong_directions, rotation_matrix, row_solid_angles
from olatkit.latlong import turn_latlong

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


# Turns about any axis.

angles = st.floats(-400, 400)


@settings(max_examples=25, deadline=None)
@given(yaw_deg=angles, pitch_deg=angles, roll_deg=angles, seed=st.integers(0, 50))
def test_any_turn_keeps_the_power_and_a_white_sky(yaw_deg: float, pitch_deg: float, roll_deg: float, seed: int) -> None:
    environment = make_map(24, 48, seed)
    turned = environment.rotate(yaw_deg, pitch_deg, roll_deg)
    np.testing.assert_allclose(turned.power, environment.power, rtol=FLOAT32)
    assert (turned.radiance >= 0).all()
    white = EnvironmentMap(np.full((24, 47, 3), 3, np.float32)).rotate(yaw_deg, pitch_deg, roll_deg)
    np.testing.assert_allclose(white.radiance, 3, rtol=1e-5)  # four bilinear lookups in float32


@settings(max_examples=40, deadline=None)
@given(yaw_deg=angles, pitch_deg=angles, roll_deg=angles, row=st.integers(0, 63), column=st.integers(0, 127))
def test_a_light_goes_where_the_rotation_takes_it(
    yaw_deg: float, pitch_deg: float, roll_deg: float, row: int, column: int
) -> None:
    radiance = np.zeros((64, 128, 3), np.float32)
    radiance[row, column] = 1000
    turned = EnvironmentMap(radiance).rotate(yaw_deg, pitch_deg, roll_deg)
    directions = latlong_directions(64, 128)
    light = turned.radiance[..., 0] * turned.solid_angles[:, None]
    centre = np.einsum("hw,hwk->k", light, directions)
    centre /= np.linalg.norm(centre)
    wanted = rotation_matrix(yaw_deg, pitch_deg, roll_deg) @ directions[row, column]
    # Within a pixel of 2.8 degrees; beside a pole a row is narrower than that and is spread along itself.
    assert np.degrees(np.arccos(np.clip(centre @ wanted, -1, 1))) < 2.9


def test_turning_there_and_back_gives_the_map_up_to_its_resolution() -> None:
    sky = 2 + latlong_directions(64, 128) @ np.array([0.4, 1.0, -0.8])
    environment = EnvironmentMap(np.repeat(sky[..., None], 3, axis=2).astype(np.float32))
    turned, correction = turn_latlong(environment.radiance, rotation_matrix(20, 50, -30))
    back, _ = turn_latlong(turned, rotation_matrix(20, 50, -30).T)
    np.testing.assert_allclose(back, environment.radiance, atol=0.03)  # smooth: a hundredth of its range
    np.testing.assert_allclose(correction, 1, atol=1e-4)
    np.testing.assert_allclose(turned, 2 + latlong_directions(64, 128) @ (
        rotation_matrix(20, 50, -30) @ np.array([0.4, 1.0, -0.8]))[:, None] * np.ones(3), atol=0.02)


def test_pitch_and_roll_go_the_documented_way() -> None:
    radiance = np.zeros((32, 64, 3), np.float32)
    radiance[:2] = 1  # above
    turned = EnvironmentMap(radiance).rotate(pitch_deg=90)
    directions = latlong_directions(32, 64)
    assert directions[np.unravel_index(turned.radiance[..., 0].argmax(), (32, 64))][2] > 0.9  # to the camera's side
    radiance[:2], radiance[15:17, 47:49] = 0, 1  # right
    turned = EnvironmentMap(radiance).rotate(roll_deg=90)
    assert directions[np.unravel_index(turned.radiance[..., 0].argmax(), (32, 64))][1] > 0.9  # above


def test_look_up_crosses_the_poles() -> None:
    environment = make_map(8, 16)
    for pole, row in ((1.0, 0), (-1.0, -1)):
        found = environment.look_up(np.array([1e-9, pole, 0.0]))
        around = environment.radiance[row]
        opposite = 0.5 * (around[3:5].mean(axis=0) + around[11:13].mean(axis=0))
        np.testing.assert_allclose(found, opposite, rtol=1e-4)


# Clipped suns.

def sunny(peak: float = 1e5, elevation_deg: float = 40, azimuth_deg: float = 30, radius_deg: float = 3) -> np.ndarray:
    """A sun that glares like 1/r^3 over a dim sky, on 256 x 512 pixels."""
    e, a = np.radians(elevation_deg), np.radians(azimuth_deg)
    sun = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    gap = np.degrees(np.arccos(np.clip(latlong_directions(256, 512) @ sun, -1, 1)))
    light = 0.5 + peak / (1 + (gap / radius_deg * 3) ** 3)
    return np.repeat(light[..., None], 3, axis=2).astype(np.float32)


@pytest.mark.parametrize("azimuth_deg", [0, 30, 180, -179])
def test_a_clipped_sun_is_found_where_it_stands(azimuth_deg: float) -> None:
    radiance = sunny(azimuth_deg=azimuth_deg)
    assert find_clipped_light(EnvironmentMap(radiance)) is None
    clipped = find_clipped_light(EnvironmentMap(np.minimum(radiance, 5000)))
    assert clipped is not None
    assert clipped.peak == 5000
    assert clipped.pixels > 3
    assert 0 < clipped.share < 1
    e, a = np.radians(40), np.radians(azimuth_deg)
    assert clipped.direction @ [np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)] > 0.999


def test_the_largest_half_float_is_clipped_even_on_one_pixel() -> None:
    radiance = sunny()
    radiance[100, 100] = 65504
    radiance = np.minimum(radiance, 65504)
    assert find_clipped_light(EnvironmentMap(radiance)) is not None


def test_walls_and_skies_of_one_brightness_are_no_clipped_suns() -> None:
    grey = np.full((64, 128, 3), 1, np.float32)
    assert find_clipped_light(EnvironmentMap(grey)) is None
    grey[:32] = 2
    assert find_clipped_light(EnvironmentMap(grey)) is None
    assert find_clipped_light(EnvironmentMap(np.zeros((8, 16, 3), np.float32))) is None


@pytest.mark.real_data
def test_published_maps_are_not_clipped_but_their_suns_can_be(test_data: Path) -> None:
    from olatkit.io.environments import examine_environment

    for path in sorted((test_data / "hdri").glob("*.[he][dx]r")):
        environment, notes = examine_environment(path)
        assert not any("flat" in note for note in notes), path.name
        if path.stem in ("sunrise", "sunset") or path.name == "city.exr":
            ceiling = environment.radiance.max() / 10
            clipped = find_clipped_light(EnvironmentMap(np.minimum(environment.radiance, ceiling)))
            assert clipped is not None, path.name
            assert 0.5 < clipped.width_deg < 1, path.name


@pytest.mark.slow
@pytest.mark.real_data
def test_published_maps_need_little_correction_when_turned(test_data: Path) -> None:
    from olatkit.io.environments import examine_environment

    for path in sorted((test_data / "hdri").glob("*.[he][dx]r"))[::3]:
        environment, _ = examine_environment(path)
        turned, correction = turn_latlong(environment.radiance, rotation_matrix(33, 40, 70))
        np.testing.assert_allclose(correction, 1, atol=2e-3)
        np.testing.assert_allclose(EnvironmentMap(turned).power, environment.power, rtol=FLOAT32)


@pytest.mark.parametrize("value, message", [
    (np.zeros((4, 8)), r"has shape \(4, 8\)"), (np.zeros((0, 8, 3)), "has shape"),
    (np.full((2, 2, 3), np.nan), "holds 12 values that are not finite"),
    (np.full((2, 2, 3), -1.0), r"negative radiance \(-1\)"),
])
def test_what_is_no_map(value: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnvironmentMap(value)
