"""Light weights obey their laws: nothing is lost, cells are cells, turning and mirroring change nothing."""


import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial import SphericalVoronoi
from weight_laws import (
    CELLS,
    DOUBLE,
    RIGS,
    SHARED,
    SIZES,
    check_light_at_every_lamp,
    check_white_sky,
    dome_rig,
    hemisphere_rig,
    random_map,
    random_rig,
    ring_rig,
)

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import direction_to_uv, fibonacci_directions, latlong_directions, rotation_y, row_solid_angles
from olatkit.render.weights import METHODS, cell_areas, cell_matrix, light_weights, lost_power
from olatkit.rig import LightRig, default_rig

# The largest maps take most of the time and obey the same laws.
FAST_AND_LARGE = [pytest.param(size, marks=pytest.mark.slow) if size[0] > 64 else size for size in SIZES]

# 1. No light is lost.

@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", FAST_AND_LARGE)
def test_the_sum_of_the_weights_is_the_power_of_the_map(method: str, size: tuple[int, int]) -> None:
    if method not in CELLS and size == (512, 1024):
        size = (128, 256)  # a matrix of 130 MB otherwise
    environment = random_map(*size)
    weights = light_weights(environment, default_rig(), method=method)
    np.testing.assert_allclose(weights.sum(axis=0), environment.power, rtol=DOUBLE)
    assert weights.shape == (114, 3)
    assert (weights >= 0).all()
    np.testing.assert_allclose(lost_power(environment, weights), 0, atol=DOUBLE)


@pytest.mark.parametrize("method", METHODS)
def test_every_pixel_is_shared_out_whole(method: str) -> None:
    for rig, (height, width) in ((default_rig(), (64, 128)), (ring_rig(), (16, 16)), (random_rig(5), (9, 20))):
        totals = np.asarray(cell_matrix(rig, height, width, method=method).sum(axis=0)).ravel()
        np.testing.assert_allclose(totals, np.repeat(row_solid_angles(height, width), width), rtol=DOUBLE)


# 2. A white sky weighs each light by the area of its cell.

@pytest.mark.parametrize("size", FAST_AND_LARGE)
def test_white_sky_gives_the_areas_of_spherical_voronoi_cells(size: tuple[int, int]) -> None:
    rigs = (*RIGS.values(), ring_rig) if size in ((16, 16), (37, 53)) else (default_rig, ring_rig)
    for make_rig in rigs:
        check_white_sky(make_rig(), size)


@settings(max_examples=15, deadline=None)
@given(lights=st.integers(4, 60), seed=st.integers(0, 10_000))
@example(lights=51, seed=55)  # an edge that passes close to a pole
def test_white_sky_for_any_rig(lights: int, seed: int) -> None:
    rig = random_rig(lights, seed)
    exact = SphericalVoronoi(rig.directions).calculate_areas()
    # Absolute: the smallest cells of a random rig are slivers.
    np.testing.assert_allclose(cell_areas(rig), exact, atol=2e-5 * 4 * np.pi / lights)


@pytest.mark.parametrize("directions", [
    [[0, 0, 1]], [[0, 1, 0], [0, -1, 0]], [[1, 0, 0], [-1, 0, 0]], [[1, 0, 0], [0, 0, 1], [-1, 0, 0], [0, 0, -1]],
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]],
], ids=["one", "poles", "left-right", "equator", "cube"])
def test_white_sky_of_few_and_symmetric_lights(directions: list[list[float]]) -> None:
    rig = LightRig("few", np.array(directions, float))
    np.testing.assert_allclose(cell_areas(rig), 4 * np.pi / len(rig), rtol=1e-4)


# 3. Light within one cell goes to one lamp.

@pytest.mark.parametrize("make_rig", [
    pytest.param(rig, marks=pytest.mark.slow if name == "dome" else (), id=name) for name, rig in RIGS.items()
])
@pytest.mark.parametrize("method", CELLS)
def test_light_at_a_lamp_goes_to_that_lamp_only(method: str, make_rig) -> None:
    check_light_at_every_lamp(make_rig(), method)


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
@pytest.mark.parametrize("columns", [pytest.param(1, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow), 37,
                                     pytest.param(64, marks=pytest.mark.slow)])
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


@pytest.mark.parametrize("method", SHARED)
def test_mirrored_map_gives_mirrored_weights_of_lights_on_common_circles(method: str) -> None:
    """Pairs of mirrored lights form trapezoids, in which no triangle is better than its mirror image."""
    half = fibonacci_directions(40)
    half = half[half[:, 0] > 0.1]
    rig = LightRig("symmetric", np.concatenate([half, half * [-1, 1, 1]]))
    environment = random_map(32, 64)
    mirrored = EnvironmentMap(environment.radiance[:, ::-1])
    swapped = np.roll(light_weights(environment, rig, method=method), len(half), axis=0)
    np.testing.assert_allclose(light_weights(mirrored, rig, method=method), swapped, rtol=1e-9)


# Lights that share.

def test_a_point_between_three_lights_is_shared_by_them_alone() -> None:
    from olatkit.render.smooth_cells import barycentric_overlaps

    octahedron = np.concatenate([np.eye(3), -np.eye(3)])
    share, lights, pixels = barycentric_overlaps(octahedron, 128, 256)
    directions = latlong_directions(128, 256).reshape(-1, 3)
    table = np.zeros((len(directions), 6))
    np.add.at(table, (pixels, lights), share)
    table /= table.sum(axis=1, keepdims=True)
    assert np.abs((table > 1e-9).sum(axis=1) - 3).max() == 0
    assert ((table[:, :3] > 1e-9) == (directions > 0)).all()
    # On the middle line of an octant the shares are equal; on an edge the third light has none.
    middle = np.abs(directions @ np.ones(3) / 3**0.5 - 1).argmin()
    np.testing.assert_allclose(table[middle, :3], 1 / 3, atol=0.02)  # the pixel is a degree off the middle
    assert table[np.abs(directions - np.array([1, 1, 0]) / 2**0.5).sum(axis=1).argmin(), [2, 5]].sum() < 0.03


def test_barycentric_shares_are_those_of_the_formula() -> None:
    """One pixel of 1 degree, against the areas of plane triangles, which small spherical ones approach."""
    from olatkit.render.smooth_cells import _triangle_shares

    corners = np.array([[0, 0.01, 1.0], [-0.01, -0.01, 1], [0.012, -0.006, 1]])
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    wanted = np.array([0.2, 0.5, 0.3])
    point = wanted @ corners
    shares, enclosed = _triangle_shares((point / np.linalg.norm(point))[None], corners)
    assert enclosed.all()
    np.testing.assert_allclose(shares[0], wanted, atol=1e-4)  # curvature of 0.01 rad
    assert not _triangle_shares(np.array([[0.05, 0, 1.0]]), corners)[1].any()


@pytest.mark.parametrize("method", SHARED)
def test_shared_light_stays_near_and_is_strongest_at_the_nearest_lamp(method: str) -> None:
    rig = default_rig()
    for light in (3, 50, 99):
        u, v = direction_to_uv(rig.directions[light])
        radiance = np.zeros((128, 256, 3), np.float32)
        radiance[int(v * 128), int(u * 256)] = 1
        weights = light_weights(EnvironmentMap(radiance), rig, method=method)[:, 0]
        assert int(weights.argmax()) == light
        far = rig.directions @ rig.directions[light] < np.cos(np.radians(45))
        assert weights[far].sum() < 1e-9


@pytest.mark.parametrize("method", SHARED)
def test_below_a_partial_dome_light_goes_to_lights_at_its_rim(method: str) -> None:
    rig = hemisphere_rig()
    nadir = np.zeros((16, 16, 3), np.float32)
    nadir[-1] = 1
    weights = light_weights(EnvironmentMap(nadir), rig, method=method)[:, 0]
    assert rig.directions[weights > 0, 1].max() < 0.35


def test_barycentric_needs_a_solid_of_lights() -> None:
    flat = LightRig("ring", np.array([[1, 0, 0], [0, 0, 1.0], [-1, 0, 0], [0, 0, -1]]))
    with pytest.raises(ValueError, match="4 lights in one plane"):
        cell_matrix(flat, 16, 16, method="barycentric")
    assert light_weights(random_map(16, 16), flat, method="lobe").shape == (4, 3)


# Lights at a finite distance.

def test_a_subject_in_the_centre_sees_distant_lights() -> None:
    rig, environment = default_rig(), random_map()
    near = light_weights(environment, rig, subject_m=(0, 0, 0))
    np.testing.assert_allclose(near, light_weights(environment, rig), rtol=1e-9)


@pytest.mark.parametrize("subject_m", [
    pytest.param((0.12, 0, 0), marks=pytest.mark.slow), pytest.param((0, -0.1, 0.1), marks=pytest.mark.slow),
    (-0.2, 0.1, -0.1),
])
def test_near_field_weights_light_an_off_centre_surface_as_the_map_says(subject_m: tuple[float, float, float]) -> None:
    """A white diffuse patch at P under lamps of a dome of 1.3 m, against the irradiance from the map itself."""
    rig = dome_rig()
    directions = latlong_directions(64, 128)
    sky = 1 + 0.9 * directions @ np.array([0.5, 0.7, 0.3])  # smooth: the number of lamps is no limit
    environment = EnvironmentMap(np.repeat(sky[..., None], 3, axis=2).astype(np.float32))
    gaps = rig.positions - np.array(subject_m)
    distance = np.linalg.norm(gaps, axis=1)
    worst = {}
    for name, place in (("distant", None), ("near", subject_m)):
        weights = light_weights(environment, rig, subject_m=place)[:, 0]
        errors = []
        for normal in (*np.eye(3), *-np.eye(3)):
            shone = np.maximum(gaps @ normal / distance, 0) * (1.3 / distance) ** 2  # light of unit power at the centre
            exact = (np.maximum(directions @ normal, 0) * sky * row_solid_angles(64, 128)[:, None]).sum()
            errors.append(abs(weights @ shone / exact - 1))
        worst[name] = max(errors)
    assert worst["near"] < 0.01
    assert worst["distant"] > 5 * worst["near"]


def test_near_field_needs_positions_and_a_subject_within_them() -> None:
    rig = default_rig(30)
    with pytest.raises(ValueError, match="has directions only"):
        light_weights(random_map(), LightRig("far", rig.directions), subject_m=(0, 0, 0.1))
    with pytest.raises(ValueError, match=r"a point 1\.5 m from the centre is not inside"):
        light_weights(random_map(), rig, subject_m=(0, 1.5, 0))


def test_rigs_with_equal_lights_share_a_matrix_and_gains_play_no_part() -> None:
    rig = random_rig(20)
    other = LightRig("other name", random_rig(20).directions, gains=np.full((20, 3), 2.0))
    rig = LightRig("a name", rig.directions)
    assert cell_matrix(other, 16, 16) is cell_matrix(rig, 16, 16)
    assert cell_matrix(rig, 16, 16, max_angle_deg=20) is not cell_matrix(rig, 16, 16)


def test_wrong_arguments_are_named() -> None:
    rig = default_rig(12)
    with pytest.raises(ValueError, match="unknown method 'cubic', expected one of voronoi, nearest, barycentric, lobe"):
        cell_matrix(rig, 16, 16, method="cubic")
    with pytest.raises(ValueError, match="max_angle_deg is -3"):
        cell_matrix(rig, 16, 16, max_angle_deg=-3)
    with pytest.raises(ValueError, match="rig 'dark' has no enabled light"):
        cell_matrix(LightRig("dark", rig.directions, enabled=np.zeros(12, bool)), 16, 16)


def test_the_cache_forgets_the_oldest_matrices_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    from olatkit.render import weights

    monkeypatch.setattr(weights, "_CACHE", weights._MatrixCache())
    first = cell_matrix(default_rig(20), 16, 16)
    assert cell_matrix(default_rig(20), 16, 16) is first
    monkeypatch.setattr(weights, "CACHE_BYTES", 3 * weights._size(first))
    for lights in (21, 22, 23, 24):
        cell_matrix(default_rig(lights), 16, 16)
    assert cell_matrix(default_rig(20), 16, 16) is not first
