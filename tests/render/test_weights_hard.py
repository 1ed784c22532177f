"""Light weights under suns, with dead lights and partial domes, and on published maps."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import SphericalVoronoi
from weight_laws import (
    CELLS,
    DOUBLE,
    RIGS,
    check_light_at_every_lamp,
    check_linear,
    check_mirrored_with_the_rig,
    check_turned_with_the_rig,
    check_white_sky,
    hemisphere_rig,
    random_map,
)

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import latlong_directions, row_solid_angles
from olatkit.render.weights import METHODS, cell_areas, cell_matrix, light_weights, lost_power
from olatkit.rig import LightRig, default_rig

# Suns, dead lights, partial domes.

@pytest.mark.parametrize("make_rig", [
    pytest.param(rig, marks=pytest.mark.slow if name == "dome" else (), id=name) for name, rig in RIGS.items()
])
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
