"""Axes, solid angles and rotations agree with the documented conventions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import (
    direction_to_angles,
    direction_to_uv,
    fibonacci_directions,
    latlong_directions,
    mirror_ball_directions,
    rotation_matrix,
    rotation_y,
    row_solid_angles,
    uv_to_direction,
)


def test_direction_of_a_known_pixel() -> None:
    # Row 8, column 24 of 16 x 32: θ = φ = 1.6690 rad.
    np.testing.assert_allclose(latlong_directions(16, 32)[8, 24], (0.9904, -0.0980, 0.0976), atol=1e-4)


def test_landmarks_of_the_map() -> None:
    # Odd sizes have a pixel centre on the middle of the map.
    assert latlong_directions(15, 31)[7, 15] == pytest.approx([0, 0, -1], abs=1e-12)
    assert uv_to_direction(0.75, 0.5) == pytest.approx([1, 0, 0], abs=1e-12)
    assert uv_to_direction(0.0, 0.5) == pytest.approx([0, 0, 1], abs=1e-12)
    assert uv_to_direction(0.3, 0.0) == pytest.approx([0, 1, 0], abs=1e-12)


@given(u=st.floats(0, 1, exclude_max=True), v=st.floats(0.001, 0.999))
def test_uv_round_trip(u: float, v: float) -> None:
    direction = uv_to_direction(u, v)
    assert np.linalg.norm(direction) == pytest.approx(1)
    back_u, back_v = direction_to_uv(direction)
    assert back_v == pytest.approx(v, abs=1e-7)  # arccos near the poles
    assert min(abs(back_u - u), 1 - abs(back_u - u)) < 1e-9
    assert 0 <= back_u < 1 or back_u == pytest.approx(1)


@pytest.mark.parametrize("height, width", [(1, 1), (16, 16), (16, 32), (37, 53), (512, 1024)])
def test_solid_angles_sum_to_the_sphere(height: int, width: int) -> None:
    assert width * row_solid_angles(height, width).sum() == pytest.approx(4 * np.pi, rel=1e-13)


def test_solid_angle_of_the_top_row() -> None:
    assert row_solid_angles(16, 16)[0] == pytest.approx((1 - np.cos(np.pi / 16)) * 2 * np.pi / 16, rel=1e-12)
    assert row_solid_angles(16, 16)[0] == pytest.approx(0.0075456, abs=5e-8)


def test_yaw_takes_the_camera_side_to_the_right() -> None:
    np.testing.assert_allclose(rotation_y(90) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rotation_y(33) @ rotation_y(-33), np.eye(3), atol=1e-12)


def test_turned_map_agrees_with_the_rotation_matrix() -> None:
    radiance = np.zeros((16, 32, 3), np.float32)
    radiance[5, 3] = 1
    start = latlong_directions(16, 32)[5, 3]
    for columns in (1, 8, 20):
        yaw_deg = -360 * columns / 32
        lit = np.argwhere(EnvironmentMap(radiance).rotate(yaw_deg).radiance[..., 0])
        assert len(lit) == 1
        np.testing.assert_allclose(latlong_directions(16, 32)[tuple(lit[0])], rotation_y(yaw_deg) @ start, atol=1e-12)


def test_lights_are_spread_evenly() -> None:
    d = fibonacci_directions(114)
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), 1, rtol=1e-12)
    nearest = np.degrees(np.arccos(np.sort(d @ d.T, axis=1)[:, -2]))
    assert (nearest > 18.0).all()
    assert (nearest < 20.0).all()


@given(yaw=st.floats(-400, 400), pitch=st.floats(-400, 400), roll=st.floats(-400, 400))
def test_rotations_are_rotations(yaw: float, pitch: float, roll: float) -> None:
    matrix = rotation_matrix(yaw, pitch, roll)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_rotations_about_one_axis_go_the_documented_way() -> None:
    np.testing.assert_allclose(rotation_matrix(90) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rotation_matrix(0, 90) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation_matrix(0, 0, 90) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    # Roll acts first, yaw last.
    np.testing.assert_allclose(rotation_matrix(90, 90, 90) @ [1, 0, 0], rotation_matrix(90) @ [0, 0, 1], atol=1e-12)


def test_angles_of_directions() -> None:
    assert direction_to_angles([0, 0, 1]) == pytest.approx((0, 0))
    assert direction_to_angles([1, 0, 0]) == pytest.approx((0, 90))
    assert direction_to_angles([0, 1, 0])[0] == pytest.approx(90)
    assert direction_to_angles(np.array([-1, -(2**0.5), -1]) / 2) == pytest.approx((-45, -135))


def test_a_mirror_ball_shows_the_camera_in_its_middle_and_the_back_at_its_rim() -> None:
    directions, inside = mirror_ball_directions(201)
    assert directions[100, 100] == pytest.approx([0, 0, 1])
    assert inside.mean() == pytest.approx(np.pi / 4, abs=0.01)
    np.testing.assert_allclose(np.linalg.norm(directions[inside], axis=1), 1, atol=1e-12)
    # The law of reflection: the normal is half way between camera and reflection; the picture's right is +X, up +Y.
    y, x = 40, 130
    normal = np.array([(x + 0.5) / 201 * 2 - 1, 1 - (y + 0.5) / 201 * 2, 0])
    normal[2] = np.sqrt(1 - normal @ normal)
    halfway = directions[y, x] + [0, 0, 1]
    np.testing.assert_allclose(halfway / np.linalg.norm(halfway), normal, atol=1e-12)
    assert directions[100, 200] @ [0, 0, -1] > 0.95
