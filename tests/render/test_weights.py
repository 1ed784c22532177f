"""Light weights: no light is lost, none is invented, and each goes to the right lamp."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import SphericalVoronoi

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import direction_to_uv, fibonacci_directions, latlong_directions, rotation_y, row_solid_angles
from olatkit.render.weights import METHODS, cell_areas, cell_matrix, light_weights, lost_power
from olatkit.rig import LightRig, default_rig

DOUBLE = 1e-12  # sums of doubles
SIZES = [(16, 16), (64, 128), (37, 53), (512, 1024)]


def random_map(height: int = 64, width: int = 128, seed: int = 0) -> EnvironmentMap:
    """A map of five decades of brightness in colour."""
    return EnvironmentMap(np.exp(np.random.default_rng(seed).normal(0, 3, (height, width, 3))).astype(np.float32))


def random_rig(lights: int, seed: int = 0) -> LightRig:
    directions = np.random.default_rng(seed).normal(size=(lights, 3))
    return LightRig("random", directions / np.linalg.norm(directions, axis=1, keepdims=True))


def ring_rig() -> LightRig:
    """Rings of equal height with a lamp at each pole, as domes are built: cell edges run along meridians."""
    lights = [(0.0, 1.0, 0.0), (0.0, -1.0, 0.0)]
    for elevation, count in ((60, 6), (30, 12), (0, 18), (-30, 12)):
        azimuth = np.arange(count) * 2 * np.pi / count + 0.1
        c, s = np.cos(np.radians(elevation)), np.sin(np.radians(elevation))
        lights += [(c * np.sin(a), s, c * np.cos(a)) for a in azimuth]
    return LightRig("rings", np.array(lights))


def check_white_sky(rig: LightRig, size: tuple[int, int]) -> None:
    """Within 0.1 % of exact areas, the promised accuracy, checked with an order of magnitude in hand."""
    white = EnvironmentMap(np.ones((*size, 3), np.float32))
    exact = SphericalVoronoi(rig.directions).calculate_areas()
    weights = light_weights(white, rig)
    np.testing.assert_allclose(weights, np.repeat(exact[:, None], 3, axis=1), rtol=1e-4)
    assert weights.sum(axis=0) == pytest.approx(4 * np.pi, rel=DOUBLE)


# 1. No light is lost.

@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", SIZES)
def test_the_sum_of_the_weights_is_the_power_of_the_map(method: str, size: tuple[int, int]) -> None:
    environment = random_map(*size)
    weights = light_weights(environment, default_rig(), method=method)
    np.testing.assert_allclose(weights.sum(axis=0), environment.power, rtol=DOUBLE)
    assert weights.shape == (114, 3)
    assert (weights >= 0).all()
    np.testing.assert_allclose(lost_power(environment, weights), 0, atol=DOUBLE)


@pytest.mark.parametrize("method", METHODS)
def test_every_pixel_is_shared_out_whole(method: str) -> None:
    for rig, (height, width) in ((default_rig(), (64, 128)), (ring_rig(), (16, 16)), (random_rig(3), (9, 20))):
        totals = np.asarray(cell_matrix(rig, height, width, method=method).sum(axis=0)).ravel()
        np.testing.assert_allclose(totals, np.repeat(row_solid_angles(height, width), width), rtol=DOUBLE)


# 2. A white sky weighs each light by the area of its cell.

@pytest.mark.parametrize("size", SIZES)
def test_white_sky_gives_the_areas_of_spherical_voronoi_cells(size: tuple[int, int]) -> None:
    check_white_sky(default_rig(), size)
    check_white_sky(ring_rig(), size)


@settings(max_examples=15, deadline=None)
@given(lights=st.integers(4, 60), seed=st.integers(0, 10_000))
def test_white_sky_for_any_rig(lights: int, seed: int) -> None:
    rig = random_rig(lights, seed)
    exact = SphericalVoronoi(rig.directions).calculate_areas()
    # Absolute: the smallest cells of a random rig are slivers.
    np.testing.assert_allclose(cell_areas(rig), exact, atol=1e-4 * 4 * np.pi / lights)


@pytest.mark.parametrize("directions", [
    [[0, 0, 1]], [[0, 1, 0], [0, -1, 0]], [[1, 0, 0], [-1, 0, 0]], [[1, 0, 0], [0, 0, 1], [-1, 0, 0], [0, 0, -1]],
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]],
], ids=["one", "poles", "left-right", "equator", "cube"])
def test_white_sky_of_few_and_symmetric_lights(directions: list[list[float]]) -> None:
    rig = LightRig("few", np.array(directions, float))
    np.testing.assert_allclose(cell_areas(rig), 4 * np.pi / len(rig), rtol=1e-4)


@pytest.mark.real_data
def test_white_sky_of_a_real_dome(test_data: Path) -> None:
    table = np.loadtxt(test_data / "rigs" / "dome_331.csv", delimiter=",", skiprows=1)
    rig = LightRig("dome", table[:, 1:4] / np.linalg.norm(table[:, 1:4], axis=1, keepdims=True))
    assert len(rig) == 331
    for size in SIZES:
        check_white_sky(rig, size)


# 3. Light within one cell goes to one lamp.

@pytest.mark.parametrize("method", METHODS)
def test_light_at_a_lamp_goes_to_that_lamp_only(method: str) -> None:
    rig = default_rig()
    for light in (0, 17, 56, 113):
        u, v = direction_to_uv(rig.directions[light])
        radiance = np.zeros((64, 128, 3), np.float32)
        radiance[int(v * 64), int(u * 128)] = 1000
        weights = light_weights(EnvironmentMap(radiance), rig, method=method)
        assert np.flatnonzero(weights[:, 0]).tolist() == [light]


def test_a_pixel_between_two_lamps_is_split() -> None:
    # The edge between the cells of +Z and -Z is the plane z = 0, u = 3/4: the middle of column 7 of 10.
    rig = LightRig("two", np.array([[0, 0, 1.0], [0, 0, -1.0]]))
    matrix = cell_matrix(rig, 8, 10).toarray().reshape(2, 8, 10)
    np.testing.assert_allclose(matrix[0, :, 7], matrix[1, :, 7], rtol=1e-9)
    assert (matrix[0, :, 7] > 0).all()
    nearest = cell_matrix(rig, 8, 10, method="nearest").toarray()
    assert ((nearest > 0).sum(axis=0) == 1).all()


def test_cells_agree_with_brute_force() -> None:
    """Every pixel's shares, against 32 x 32 points in it."""
    rig, height, width, split = random_rig(25, 3), 8, 12, 32
    points = latlong_directions(height * split, width * split)
    owner = (points @ rig.directions.T).argmax(axis=-1)
    area = np.repeat(row_solid_angles(height * split, width * split)[:, None], width * split, axis=1)
    brute = np.zeros((25, height, width))
    rows, columns = np.indices(owner.shape) // split
    np.add.at(brute, (owner, rows, columns), area)
    exact = cell_matrix(rig, height, width).toarray().reshape(brute.shape)
    # Points miss an edge by half their spacing: a share of about 1/32 of a pixel.
    assert np.abs(exact - brute).max() < row_solid_angles(height, width).max() / split


# 4. Turning the map and the rig together changes nothing; the weights are linear in the map.

@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("columns", [1, 8, 37, 64])
@pytest.mark.parametrize("make_rig", [default_rig, ring_rig])
def test_turning_map_and_rig_together_changes_nothing(method: str, columns: int, make_rig) -> None:
    rig, environment = make_rig(), random_map()
    yaw_deg = -360 * columns / 128
    turned = LightRig("turned", rig.directions @ rotation_y(yaw_deg).T)
    np.testing.assert_array_equal(environment.rotate(yaw_deg).radiance, np.roll(environment.radiance, columns, axis=1))
    weights = light_weights(environment, rig, method=method)
    again = light_weights(environment.rotate(yaw_deg), turned, method=method)
    if method == "nearest":  # a pixel centre on an edge may go to either side
        moved = np.abs(again - weights).max(axis=1) > DOUBLE * weights.max()
        assert moved.sum() <= (0 if make_rig is default_rig else len(rig))
    else:
        np.testing.assert_allclose(again, weights, atol=DOUBLE * weights.max())


def test_weights_are_linear_in_the_map() -> None:
    rig, one, two = default_rig(), random_map(seed=1), random_map(seed=2)
    mixed = EnvironmentMap(0.25 * one.radiance + 2 * two.radiance)
    expected = 0.25 * light_weights(one, rig) + 2 * light_weights(two, rig)
    np.testing.assert_allclose(light_weights(mixed, rig), expected, rtol=1e-6)  # the mix is rounded to float32


# 5. A mirrored map lights a mirrored rig the same way.

def test_mirrored_map_gives_mirrored_weights() -> None:
    half = fibonacci_directions(40)
    half = half[half[:, 0] > 0.1]
    rig = LightRig("symmetric", np.concatenate([half, half * [-1, 1, 1]]))
    environment = random_map()
    mirrored = EnvironmentMap(environment.radiance[:, ::-1])
    swapped = np.roll(light_weights(environment, rig), len(half), axis=0)
    np.testing.assert_allclose(light_weights(mirrored, rig), swapped, rtol=1e-9)


# Suns, dead lights, partial domes.

def test_a_moving_sun_keeps_its_power_at_16x16_and_over_the_lights() -> None:
    rig, bright = default_rig(), 1e5
    for elevation_deg in (-88, -60, -5, 5, 20, 45, 60, 70, 75, 80, 88):
        for azimuth_deg in (3, 100, 200, 341):
            e, a = np.radians(elevation_deg), np.radians(azimuth_deg)
            sun = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
            # Half a degree across, on a dim sky.
            lit = latlong_directions(512, 1024) @ sun > np.cos(np.radians(0.5))
            environment = EnvironmentMap(np.where(lit[..., None], bright, 0.1) * np.ones(3, np.float32))
            small = environment.downsample(16, 16)
            np.testing.assert_allclose(small.power / environment.power, 1, atol=1e-4)
            np.testing.assert_allclose(light_weights(small, rig).sum(axis=0) / environment.power, 1, atol=1e-4)


def test_dead_lights_weigh_nothing_and_their_cells_go_to_neighbours() -> None:
    rig = default_rig()
    enabled = np.ones(114, bool)
    enabled[[4, 60]] = False
    damaged = LightRig("damaged", rig.directions, enabled=enabled)
    before, after = cell_areas(rig), cell_areas(damaged)
    assert after[[4, 60]].tolist() == [0, 0]
    assert after.sum() == pytest.approx(4 * np.pi, rel=DOUBLE)
    grown = np.flatnonzero(after > before * (1 + 1e-6))
    assert (rig.directions[grown] @ rig.directions[[4, 60]].T).max(axis=1).min() > np.cos(np.radians(45))
    exact = SphericalVoronoi(rig.directions[enabled]).calculate_areas()
    np.testing.assert_allclose(after[enabled], exact, rtol=1e-4)


@pytest.mark.parametrize("angle_deg", [5, 40, 90, 120, 180])
@pytest.mark.parametrize("direction", [(0, 1, 0), (0, -1, 0), (0, 0, 1), (0.6, 0.64, -0.48)])
def test_a_limited_cell_is_a_cap(angle_deg: float, direction: tuple[float, float, float]) -> None:
    rig = LightRig("one", np.array([direction]))
    cap = 2 * np.pi * (1 - np.cos(np.radians(angle_deg)))
    # A cap meets the meridians at its sides tangentially: the promised 0.1 %, without the usual margin.
    assert cell_areas(rig, max_angle_deg=angle_deg)[0] == pytest.approx(cap, rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_partial_dome_loses_what_it_does_not_cover_and_says_so(method: str) -> None:
    directions = fibonacci_directions(200)
    dome = LightRig("dome", directions[directions[:, 1] > 0])
    white = EnvironmentMap(np.ones((64, 128, 3), np.float32))
    whole, limited = (light_weights(white, dome, method=method, max_angle_deg=a) for a in (None, 11))
    assert whole.max() > 3 * np.median(whole)  # the lowest lights swallow the hole
    assert limited.max() < 2 * np.median(limited)
    lost = lost_power(white, limited)
    assert (lost > 0.3).all()
    assert (lost < 0.5).all()
    np.testing.assert_allclose(limited.sum(axis=0), 4 * np.pi * (1 - lost), rtol=DOUBLE)
    # Light inside a cell is not changed by the limit.
    top = int(dome.directions[:, 1].argmax())
    np.testing.assert_allclose(limited[top], whole[top], rtol=DOUBLE)


def test_rigs_with_equal_lights_share_a_matrix_and_gains_play_no_part() -> None:
    rig = random_rig(20)
    other = LightRig("other name", random_rig(20).directions, gains=np.full((20, 3), 2.0))
    rig = LightRig("a name", rig.directions)
    assert cell_matrix(other, 16, 16) is cell_matrix(rig, 16, 16)
    assert cell_matrix(rig, 16, 16, max_angle_deg=20) is not cell_matrix(rig, 16, 16)


def test_wrong_arguments_are_named() -> None:
    rig = default_rig(12)
    with pytest.raises(ValueError, match="unknown method 'cubic', expected one of voronoi, nearest"):
        cell_matrix(rig, 16, 16, method="cubic")
    with pytest.raises(ValueError, match="max_angle_deg is -3"):
        cell_matrix(rig, 16, 16, max_angle_deg=-3)
    with pytest.raises(ValueError, match="rig 'dark' has no enabled light"):
        cell_matrix(LightRig("dark", rig.directions, enabled=np.zeros(12, bool)), 16, 16)


@pytest.mark.real_data
def test_real_maps_keep_their_power(test_data: Path) -> None:
    from olatkit.io.environments import read_environment

    rig = default_rig()
    paths = sorted((test_data / "hdri").glob("*.hdr")) + sorted((test_data / "hdri").glob("*.exr"))
    assert len(paths) == 18
    for path in paths:
        environment = read_environment(path)
        np.testing.assert_allclose(light_weights(environment, rig).sum(axis=0), environment.power, rtol=DOUBLE)
        small = light_weights(environment.downsample(), rig)
        np.testing.assert_allclose(small.sum(axis=0), environment.power, rtol=1e-6)  # the 16x16 form is float32
        turned = light_weights(environment.rotate(33.3), rig)
        np.testing.assert_allclose(turned.sum(axis=0), environment.power, rtol=1e-6)
