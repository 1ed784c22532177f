"""Lens shading and linearisation against known curves."""

import numpy as np
import pytest

from olatkit.capture.response import fit_flat_field, fit_linearisation, linearise
from olatkit.errors import CaptureError


def shading(height=90, width=120):
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    r2 = x**2 + y**2
    return np.stack([1 - 0.2 * r2 + 0.03 * r2**2, 1 - 0.15 * r2 + 0.05 * x, 0.9 - 0.1 * r2 - 0.04 * x * y], axis=2)


def test_flat_field_recovers_a_polynomial():
    truth = shading()
    np.testing.assert_allclose(fit_flat_field(700 * truth), truth / truth.mean(axis=(0, 1)), rtol=1e-6)


def test_flat_field_smooths_noise_and_dust():
    """Noise of 1 % leaves 0.04 % with 15 terms on 10,800 pixels; a speck of 9 pixels at half moves it less than 1 %."""
    truth = shading()
    flat = truth * np.random.default_rng(0).normal(1, 0.01, truth.shape)
    flat[40:43, 50:53] *= 0.5
    fit = fit_flat_field(flat)
    np.testing.assert_allclose(fit, truth / truth.mean(axis=(0, 1)), rtol=0.01)
    np.testing.assert_allclose(fit.mean(axis=(0, 1)), 1, rtol=1e-6)


def test_flat_field_refuses():
    with pytest.raises(ValueError, match="degree is 7, expected 0 to 6"):
        fit_flat_field(shading(), degree=7)
    with pytest.raises(CaptureError, match=r"lens shading at row 89, column 0 is .*expected above 0"):
        fit_flat_field(shading() - 0.8)


def test_linearisation_straightens_a_gamma():
    exposures = np.geomspace(0.01, 1, 25)
    table = fit_linearisation(4000 * exposures**0.6, exposures, size=4096)
    codes = np.arange(300, 4000)
    # A cubic between 25 measured levels of a smooth curve.
    np.testing.assert_allclose(table[codes], 4000 * (codes / 4000) ** (1 / 0.6), rtol=5e-3)
    assert table[0] == 0
    assert table[4000] == pytest.approx(4000)


def test_linearisation_of_a_linear_sensor_is_the_identity():
    exposures = np.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(fit_linearisation(1000 * exposures, exposures, size=1024), np.arange(1024), rtol=1e-6)


def test_linearisation_never_falls_with_noisy_levels():
    rng = np.random.default_rng(1)
    exposures = np.repeat(np.linspace(0.02, 1, 20), 3)
    levels = 900 * np.sqrt(exposures) + rng.normal(0, 12, 60)
    table = fit_linearisation(levels, exposures, size=1024)
    assert (np.diff(table) >= 0).all()


@pytest.mark.parametrize(
    ("levels", "exposures", "match"),
    [
        ([10, 20], [1, 2], "2 rising levels"),
        ([30, 20, 10], [1, 2, 3], "1 rising level, expected"),
        ([10, 20, 5000], [1, 2, 3], "level 5000, expected below 4096"),
        ([10, 0, 30], [1, 2, 3], "not positive"),
    ],
)
def test_linearisation_refuses(levels, exposures, match):
    with pytest.raises(CaptureError, match=match):
        fit_linearisation(np.array(levels), np.array(exposures), size=4096)


def test_a_table_is_straight_between_and_beyond_its_entries():
    table = np.array([0, 1, 4, 9], np.float32)
    values = np.array([[-2, -0.5, 0], [0.5, 1.25, 2], [2.5, 3, 4]], np.float32)
    expected = [[-2, -0.5, 0], [0.5, 1.75, 4], [6.5, 9, 14]]
    np.testing.assert_allclose(linearise(values, table), expected)
    assert linearise(values, table).dtype == np.float32
