"""Spherical harmonics of maps: orthonormal, exact, and turning with the map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import latlong_directions, rotation_matrix, row_solid_angles
from olatkit.render.sh import evaluate_sh, order_of, project_sh, rotate_sh, sh_basis

ROUNDING = 1e-10  # sums of some ten thousand doubles


def random_map(height: int, width: int, seed: int = 0) -> EnvironmentMap:
    return EnvironmentMap(np.random.default_rng(seed).exponential(1, (height, width, 3)).astype(np.float32))


def test_the_first_functions_are_those_of_the_convention() -> None:
    x, y, z = 0.48, -0.6, 0.64
    first = np.array([0.282095, 0.488603 * y, 0.488603 * z, 0.488603 * x])
    second = np.array([1.092548 * x * y, 1.092548 * y * z, 0.315392 * (3 * z * z - 1), 1.092548 * x * z,
                       0.546274 * (x * x - y * y)])
    # The constants of Ramamoorthi and Hanrahan 2001, printed with six digits.
    np.testing.assert_allclose(sh_basis(np.array([x, y, z]), 2), np.concatenate([first, second]), atol=2e-6)


def test_the_basis_is_orthonormal() -> None:
    directions, areas = latlong_directions(200, 400), row_solid_angles(200, 400)
    basis = sh_basis(directions, 4)
    gram = np.einsum("hwi,hwj,h->ij", basis, basis, areas)
    np.testing.assert_allclose(gram, np.eye(25), atol=4e-4)  # pixels of a degree


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 16), (9, 20), (64, 128)])
@pytest.mark.parametrize("order", [0, 2, 4])
def test_a_white_sky_has_one_coefficient(size: tuple[int, int], order: int) -> None:
    coefficients = project_sh(EnvironmentMap(np.ones((*size, 3), np.float32)), order)
    expected = np.zeros(((order + 1) ** 2, 3))
    expected[0] = np.sqrt(4 * np.pi)
    np.testing.assert_allclose(coefficients, expected, atol=ROUNDING)


def test_projection_is_the_integral_over_pixels() -> None:
    environment = random_map(6, 10)
    fine = 40
    blown_up = np.repeat(np.repeat(environment.radiance, fine, axis=0), fine, axis=1).astype(float)
    directions, areas = latlong_directions(6 * fine, 10 * fine), row_solid_angles(6 * fine, 10 * fine)
    brute = np.einsum("hwk,hwc,h->kc", sh_basis(directions, 4), blown_up, areas)
    np.testing.assert_allclose(project_sh(environment, 4), brute, atol=4e-4)  # midpoints of 0.9-degree pixels


@pytest.mark.parametrize("order", [2, 4])
def test_a_map_of_low_order_is_given_back(order: int) -> None:
    rng = np.random.default_rng(3)
    wanted = rng.normal(size=((order + 1) ** 2, 3))
    wanted[0] += 20
    picture = evaluate_sh(wanted, 256, 512)
    np.testing.assert_allclose(project_sh(EnvironmentMap(picture), order), wanted, atol=5e-4)  # constant per pixel


def test_averaging_over_cells_hardly_changes_low_orders() -> None:
    environment = random_map(64, 128)
    np.testing.assert_allclose(project_sh(environment.downsample(32, 64), 2), project_sh(environment, 2), atol=0.02)


@settings(max_examples=20, deadline=None)
@given(yaw=st.floats(-360, 360), pitch=st.floats(-180, 180), roll=st.floats(-180, 180))
def test_turning_coefficients_turns_the_function(yaw: float, pitch: float, roll: float) -> None:
    rotation = rotation_matrix(yaw, pitch, roll)
    coefficients = np.random.default_rng(0).normal(size=(25, 3))
    directions = np.random.default_rng(1).normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    turned = sh_basis(directions @ rotation.T, 4) @ rotate_sh(coefficients, rotation)
    np.testing.assert_allclose(turned, sh_basis(directions, 4) @ coefficients, atol=1e-9)


@pytest.mark.parametrize("columns", [1, 8, 37])
def test_a_turned_map_has_turned_coefficients(columns: int) -> None:
    environment, yaw_deg = random_map(32, 64), -360 * columns / 64
    np.testing.assert_allclose(project_sh(environment.rotate(yaw_deg), 4),
                               rotate_sh(project_sh(environment, 4), rotation_matrix(yaw_deg)), atol=1e-9)


def test_numbers_of_coefficients() -> None:
    assert [order_of(np.zeros((n, 3))) for n in (1, 4, 9, 25)] == [0, 1, 2, 4]
    with pytest.raises(ValueError, match="7 coefficients belong to no order"):
        order_of(np.zeros((7, 3)))
