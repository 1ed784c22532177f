"""The fully lit picture and the brightness factor of a take."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.envmap import EnvironmentMap
from olatkit.errors import CaptureError
from olatkit.render.fully_lit import find_kappa, fully_lit
from olatkit.render.relight import relight
from olatkit.render.weights import cell_areas, light_weights
from olatkit.rig import LightRig, default_rig


def stack(lights=12, seed=0):
    return np.random.default_rng(seed).random((lights, 5, 7, 3), np.float32)


def test_it_is_the_picture_under_a_white_sky():
    rig, images = default_rig(12), stack()
    sky = EnvironmentMap(np.ones((16, 16, 3), np.float32))
    np.testing.assert_allclose(fully_lit(images, rig), relight(images, light_weights(sky, rig)), rtol=1e-6)


def test_equal_pictures_get_the_whole_sphere():
    images = np.repeat(stack(1), 12, axis=0)
    np.testing.assert_allclose(fully_lit(images, default_rig(12)), 4 * np.pi * images[0], rtol=1e-5)


def test_a_dead_light_plays_no_part():
    whole = default_rig(12)
    rig = LightRig("one dead", whole.directions, enabled=np.arange(12) != 3)
    images = stack()
    assert cell_areas(rig)[3] == 0
    changed = images.copy()
    changed[3] = 100
    assert (fully_lit(images, rig) == fully_lit(changed, rig)).all()


@given(st.floats(1e-3, 1e3), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_kappa_brings_the_median_to_a_quarter(level, parts):
    rng = np.random.default_rng(parts)
    pixels = [rng.lognormal(np.log(level), 0.7, (9, 11)) for _ in range(parts)]
    kappa = find_kappa(iter(pixels))
    assert np.median(np.concatenate([kappa * p.ravel() for p in pixels])) == pytest.approx(0.25, rel=1e-5)


def test_kappa_needs_a_subject():
    with pytest.raises(CaptureError, match="no foreground pixel"):
        find_kappa([])
    with pytest.raises(CaptureError, match="no foreground pixel"):
        find_kappa([np.zeros((0,))])
    with pytest.raises(CaptureError, match="expected a positive number"):
        find_kappa([np.full(5, -0.1)])
