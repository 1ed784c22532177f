"""Closure of single lights and tracking frame."""

import numpy as np
import pytest

from olatkit.capture.closure import ambient_from_closure
from olatkit.errors import CaptureError

LIGHTS, GAIN = 114, 0.034


@pytest.fixture
def stage():
    rng = np.random.default_rng(0)
    return rng.random((LIGHTS, 8, 9, 3)), rng.random((8, 9, 3)) * 0.05


def test_ambient_is_recovered_exactly(stage):
    lights, ambient = stage
    tracking = GAIN * lights.sum(0) + ambient
    found = ambient_from_closure((lights + ambient).sum(0), tracking / GAIN, LIGHTS, GAIN)
    np.testing.assert_allclose(found, ambient, atol=1e-12)


@pytest.mark.parametrize("gain", [1 / 114, 1 / 92, 1 / 136])
def test_ambient_is_refused_where_it_cannot_be_told(gain):
    with pytest.raises(CaptureError, match="expected more than 20 % away from 114 lights"):
        ambient_from_closure(np.ones(3), np.ones(3), LIGHTS, gain)
