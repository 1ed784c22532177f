"""Rigs, maps, and laws of light weights that are asked of more than one kind of them."""

from functools import cache

import numpy as np
import pytest
from scipy.spatial import SphericalVoronoi

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import direction_to_uv, fibonacci_directions, rotation_y
from olatkit.render.weights import METHODS, light_weights
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


def check_light_at_every_lamp(rig: LightRig, method: str) -> None:
    """A pixel at a lamp, on a map so fine that it lies wholly in the lamp's cell."""
    for light in range(len(rig)):
        u, v = direction_to_uv(rig.directions[light])
        radiance = np.zeros((128, 256, 3), np.float32)
        radiance[min(int(v * 128), 127), int(u * 256) % 256] = 1000
        weights = light_weights(EnvironmentMap(radiance), rig, method=method)
        assert np.flatnonzero(weights[:, 0]).tolist() == [light]


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
