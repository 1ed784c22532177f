"""Light weights: no light is lost, none is invented, and each goes to the right lamp."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial import SphericalVoronoi

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import direction_to_uv, fibonacci_directions, latlong_directions, rotation_y, row_solid_angles
from olatkit.render.weights import METHODS, cell_areas, cell_matrix, light_weights, lost_power
from olatkit.rig import LightRig, default_rig

DOUBLE = 1e-12  # sums of doubles
CELLS = ("voronoi", "nearest")  # every pixel, or part of one, belongs to one light
SHARED = ("barycentric", "lobe")  # pixels are shared by several lights
SIZES = [(16, 16), (64, 128), (37, 53), (512, 1024)]


def random_map(height: int = 64, width: int = 128, seed: int = 0) -> EnvironmentMap:
    """A map of five decades of brightness in colour."""
    return EnvironmentMap(np.exp(np.random.default_rng(seed).normal(0, 3, (height, width, 3))).astype(np.float32))


def random_rig(lights: int, seed: int = 0) -> LightRig:
    directions = np.random.default_rng(seed).normal(size=(lights, 3))
    return LightRig("random", directions / np.linalg.norm(directions, axis=1, keepdims=True))


@cache
def hemisphere_rig() -> LightRig:
    """Lights of the upper half of an even dome of 200."""
    directions = fibonacci_directions(200, 20)
    return LightRig("hemisphere", directions[directions[:, 1] > 0])


@cache
def dome_rig() -> LightRig:
    """As many lights as the largest dome in use."""
    return LightRig("dome", fibonacci_directions(331, 20), 1.3 * fibonacci_directions(331, 20))


RIGS = {"default": default_rig, "dome": dome_rig, "hemisphere": hemisphere_rig}


def ring_rig() -> LightRig:
    """Rings of equal height with a lamp at each pole, as domes are built: cell edges run along meridians."""
    lights = [(0.0, 1.0, 0.0), (0.0, -1.0, 0.0)]
    for elevation, count in ((60, 6), (30, 12), (0, 18), (-30, 12)):
        azimuth = np.arange(count) * 2 * np.pi / count + 0.1
        c, s = np.cos(np.radians(elevation)), np.sin(np.radians(elevation))
        lights += [(c * np.sin(a), s, c * np.cos(a)) for a in azimuth]
    return LightRig("rings", np.array(lights))


def check_white_sky(rig: LightRig, size: tuple[int, int]) -> None:
    """Within 0.1 % of exact areas, the promised accuracy, checked with nearly two orders of magnitude in hand."""
    white = EnvironmentMap(np.ones((*size, 3), np.float32))
    exact = SphericalVoronoi(rig.directions).calculate_areas()
    weights = light_weights(white, rig)
    np.testing.assert_allclose(weights, np.repeat(exact[:, None], 3, axis=1), rtol=2e-5)
    assert weights.sum(axis=0) == pytest.approx(4 * np.pi, rel=DOUBLE)


# 1. No light is lost.

@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", SIZES)
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

@pytest.mark.parametrize("size", SIZES)
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

def check_light_at_every_lamp(rig: LightRig, method: str) -> None:
    """A pixel at a lamp, on a map so fine that it lies wholly in the lamp's cell."""
    for light in range(len(rig)):
        u, v = direction_to_uv(rig.directions[light])
        radiance = np.zeros((128, 256, 3), np.float32)
        radiance[min(int(v * 128), 127), int(u * 256) % 256] = 1000
        weights = light_weights(EnvironmentMap(radiance), rig, method=method)
        assert np.flatnonzero(weights[:, 0]).tolist() == [light]


@pytest.mark.parametrize("make_rig", RIGS.values(), ids=RIGS)
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
    with pytest.raises(ValueError, match="4 lights that lie in one plane"):
        cell_matrix(flat, 16, 16, method="barycentric")
    assert light_weights(random_map(16, 16), flat, method="lobe").shape == (4, 3)


# Lights at a finite distance.

def test_a_subject_in_the_centre_sees_distant_lights() -> None:
    rig, environment = default_rig(), random_map()
    near = light_weights(environment, rig, subject_m=(0, 0, 0))
    np.testing.assert_allclose(near, light_weights(environment, rig), rtol=1e-9)


@pytest.mark.parametrize("subject_m", [(0.12, 0, 0), (0, -0.1, 0.1), (-0.2, 0.1, -0.1)])
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


# Suns, dead lights, partial domes.

@pytest.mark.parametrize("make_rig", RIGS.values(), ids=RIGS)
@pytest.mark.parametrize("method", METHODS)
def test_a_sun_of_constant_power_shines_alike_from_everywhere(method: str, make_rig) -> None:
    """Sum of the weights of a sun of power 1 anywhere on the sphere: 1 at 16x16 and at full size."""
    rig, rng = make_rig(), np.random.default_rng(0)
    solid_angles = row_solid_angles(128, 256)
    rows = np.searchsorted(np.cumsum(solid_angles) * 256 / (4 * np.pi), rng.random(60))
    for row, column in zip(rows, rng.integers(256, size=60), strict=True):
        radiance = np.zeros((128, 256, 3), np.float32)
        radiance[row, column] = 1 / solid_angles[row]
        brightness = light_weights(EnvironmentMap(radiance).downsample(), rig, method=method).sum(axis=0)
        np.testing.assert_allclose(brightness, 1, atol=1e-4)


def test_a_moving_sun_keeps_its_power_at_16x16_and_over_the_lights() -> None:
    rig, bright = default_rig(), 1e5
    for elevation_deg in (-88, -60, -5, 5, 20, 45, 60, 70, 75, 80, 88):
        for azimuth_deg in (3, 200):
            e, a = np.radians(elevation_deg), np.radians(azimuth_deg)
            sun = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
            # A few pixels across, on a dim sky.
            lit = latlong_directions(256, 512) @ sun > np.cos(np.radians(0.8))
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


@pytest.mark.parametrize("method", METHODS)
def test_dead_lights_weigh_nothing_with_any_method(method: str) -> None:
    rig, environment = default_rig(), random_map(32, 64)
    enabled = np.arange(114) % 9 != 4
    weights = light_weights(environment, LightRig("damaged", rig.directions, rig.positions, enabled=enabled), method=method)
    assert not weights[~enabled].any()
    np.testing.assert_allclose(weights.sum(axis=0), environment.power, rtol=DOUBLE)


@pytest.mark.parametrize("angle_deg", [5, 40, 90, 120, 180])
@pytest.mark.parametrize("direction", [(0, 1, 0), (0, -1, 0), (0, 0, 1), (0.6, 0.64, -0.48)])
def test_a_limited_cell_is_a_cap(angle_deg: float, direction: tuple[float, float, float]) -> None:
    rig = LightRig("one", np.array([direction]))
    cap = 2 * np.pi * (1 - np.cos(np.radians(angle_deg)))
    # A cap meets the meridians at its sides tangentially: the promised 0.1 %, without the usual margin.
    assert cell_areas(rig, max_angle_deg=angle_deg)[0] == pytest.approx(cap, rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_partial_dome_loses_what_it_does_not_cover_and_says_so(method: str) -> None:
    dome = hemisphere_rig()
    white = EnvironmentMap(np.ones((64, 128, 3), np.float32))
    whole, limited = (light_weights(white, dome, method=method, max_angle_deg=a) for a in (None, 11))
    assert whole.max() > 3 * np.median(whole)  # the lowest lights swallow the hole
    assert limited.max() < 2 * np.median(limited)
    lost = lost_power(white, limited)
    assert (lost > 0.3).all()
    assert (lost < 0.5).all()
    np.testing.assert_allclose(limited.sum(axis=0), 4 * np.pi * (1 - lost), rtol=DOUBLE)
    if method in CELLS:  # light inside a cell is not changed by the limit
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


# All laws on the published maps, for three rigs.

@pytest.fixture(scope="module")
def real_rigs(test_data: Path) -> dict[str, LightRig]:
    from olatkit.io.documents import read_rig

    dome = read_rig(test_data / "rigs" / "dome_331.csv")
    assert len(dome) == 331
    return {"default": default_rig(), "dome": dome, "hemisphere": hemisphere_rig()}


@pytest.mark.real_data
def test_white_sky_of_the_real_dome(real_rigs: dict[str, LightRig]) -> None:
    for size in ((16, 16), (512, 1024)):
        check_white_sky(real_rigs["dome"], size)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("method", METHODS)
def test_a_sun_of_constant_power_over_the_lights_of_the_real_dome(method: str, real_rigs: dict[str, LightRig]) -> None:
    """Every pixel of the sphere with the power of 1: the weights of any sun are a mean of these."""
    for rig in real_rigs.values():
        for height, width in ((16, 16), (64, 128)):
            shone = np.asarray(cell_matrix(rig, height, width, method=method).sum(axis=0)).reshape(height, width)
            np.testing.assert_allclose(shone / row_solid_angles(height, width)[:, None], 1, atol=1e-4)
    if method in CELLS:
        check_light_at_every_lamp(real_rigs["dome"], method)


MAPS = (
    "apartment.hdr", "bridge.hdr", "city.exr", "city.hdr", "courtyard.exr", "forest.exr", "forest.hdr", "interior.exr",
    "lobby.hdr", "night.exr", "night.hdr", "studio.exr", "studio.hdr", "sunrise.exr", "sunrise.hdr", "sunset.exr",
    "sunset.hdr", "venice.hdr",
)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("name", MAPS)
def test_laws_on_published_maps(name: str, test_data: Path, real_rigs: dict[str, LightRig]) -> None:
    from olatkit.io.environments import read_environment

    whole = read_environment(test_data / "hdri" / name)
    small, medium = whole.downsample(), whole.downsample(64, 128)
    np.testing.assert_allclose(small.power, whole.power, rtol=1e-6)  # stored as float32
    for rig in real_rigs.values():
        for method in METHODS:
            for environment in (small, medium, *((whole,) if method in CELLS else ())):
                weights = light_weights(environment, rig, method=method)
                np.testing.assert_allclose(weights.sum(axis=0), environment.power, rtol=DOUBLE)
                assert (weights >= 0).all()
        limited = light_weights(medium, rig, max_angle_deg=12)
        covered = cell_matrix(rig, 64, 128, max_angle_deg=12).sum(axis=0).reshape(64, 128, 1)
        np.testing.assert_allclose(limited.sum(axis=0), (medium.radiance * covered).sum(axis=(0, 1)), rtol=DOUBLE)
        np.testing.assert_allclose(lost_power(medium, limited), 1 - limited.sum(axis=0) / medium.power, atol=DOUBLE)
    # By any angle, whole columns or not, about any axis.
    turns = [whole.rotate(*angles) for angles in ((33.3, 0, 0), (10, 20, -70), (0, 90, 0))]
    for rig in real_rigs.values():
        for turned in turns:
            np.testing.assert_allclose(light_weights(turned, rig).sum(axis=0), whole.power, rtol=1e-6)  # float32
        check_turned_with_the_rig(medium, rig)
        check_mirrored_with_the_rig(medium, rig)
        check_linear(medium, rig)


def check_turned_with_the_rig(environment: EnvironmentMap, rig: LightRig) -> None:
    """Law 4 on a map of 128 columns; with the smooth methods for one turn, which tells as much and takes less time."""
    for columns in (1, 8, 37, 64):
        yaw_deg = -360 * columns / 128
        turned = LightRig("turned", rig.directions @ rotation_y(yaw_deg).T)
        for method in ("voronoi", *(SHARED if columns == 37 else ())):
            weights = light_weights(environment, rig, method=method)
            again = light_weights(environment.rotate(yaw_deg), turned, method=method)
            np.testing.assert_allclose(again, weights, atol=DOUBLE * weights.max())


def check_mirrored_with_the_rig(environment: EnvironmentMap, rig: LightRig) -> None:
    """Law 5 for the right half of a rig and its mirror image."""
    half = rig.directions[rig.directions[:, 0] > 0.03]
    symmetric = LightRig("symmetric", np.concatenate([half, half * [-1, 1, 1]]))
    mirrored = EnvironmentMap(environment.radiance[:, ::-1])
    for method in ("voronoi", *SHARED):
        swapped = np.roll(light_weights(environment, symmetric, method=method), len(half), axis=0)
        again = light_weights(mirrored, symmetric, method=method)
        np.testing.assert_allclose(again, swapped, atol=1e-9 * swapped.max())


def check_linear(environment: EnvironmentMap, rig: LightRig) -> None:
    """The map and its picture upside down, mixed; the mix is rounded to float32."""
    other = EnvironmentMap(environment.radiance[::-1])
    mixed = EnvironmentMap(2 * environment.radiance + other.radiance)
    for method in METHODS:
        expected = 2 * light_weights(environment, rig, method=method) + light_weights(other, rig, method=method)
        found = light_weights(mixed, rig, method=method)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * expected.max())
