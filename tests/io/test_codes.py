"""Radiance codes: round trip, resolution beside sensor noise, range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olatkit.io.codes import BLACK, LAST, MAX_RADIANCE, decode, decode_table, encode, encode_into

FULL_WELL_E, READ_NOISE_E = 20_000, 20


def sensor_noise(radiance):
    """Standard deviation of one frame of a good sensor, as a share of full scale."""
    return np.sqrt(np.maximum(radiance, 0) / FULL_WELL_E + (READ_NOISE_E / FULL_WELL_E) ** 2)


def test_every_code_survives():
    codes = np.arange(LAST + 1, dtype=np.uint16)
    again, beyond = encode(decode(codes))
    np.testing.assert_array_equal(again, codes)
    assert beyond == 0


def test_curve_rises_and_keeps_zero():
    table = decode_table()
    assert (np.diff(table) > 0).all()
    assert table[BLACK] == 0
    assert table[LAST] == pytest.approx(MAX_RADIANCE, rel=1e-6)
    assert table[0] < -0.05


def test_rounding_is_a_quarter_of_the_sensor_noise_at_most():
    """Rms of rounding to a step is step / sqrt(12)."""
    table = decode_table().astype(float)
    middle = (table[1:] + table[:-1]) / 2
    levels = (middle >= -0.05) & (middle <= 4)
    share = np.diff(table)[levels] / np.sqrt(12) / sensor_noise(middle[levels])
    assert share.max() <= 0.25


@given(st.floats(-0.05, 4))
def test_rounding_is_half_a_step_at_most(value):
    codes, beyond = encode(np.array([value], np.float32))
    table, code = decode_table(), int(codes[0])
    step = max(table[min(code + 1, LAST)] - table[code], table[code] - table[max(code - 1, 0)])
    assert beyond == 0
    assert abs(decode(codes)[0] - value) <= 0.5 * step * 1.01 + 1e-6


def test_rounding_is_unbiased():
    values = np.linspace(0.01, 3.9, 200_001).astype(np.float32)
    error = decode(encode(values)[0]) - values
    assert abs(error.mean()) < 0.02 * error.std()


@pytest.mark.parametrize("value", [4.1, 1e9, np.inf, -0.2, -np.inf])
def test_values_beyond_the_range_are_limited_and_counted(value):
    codes, beyond = encode(np.array([0.5, value, 1.0], np.float32))
    assert beyond == 1
    assert codes[1] == (LAST if value > 0 else 0)


def test_not_a_number_is_counted():
    """NaN has no code; it must not pass as good data."""
    _, beyond = encode(np.array([0.5, np.nan], np.float32))
    assert beyond == 1


def test_shape_is_kept():
    values = np.random.default_rng(0).random((2, 5, 7, 3)).astype(np.float32)
    codes, _ = encode(values[:, ::2])
    assert codes.dtype == np.uint16
    assert decode(codes).shape == (2, 3, 7, 3)
    np.testing.assert_allclose(decode(codes), values[:, ::2], atol=2e-3)


def test_runs_of_values_go_to_their_places_and_nothing_else_is_touched():
    values = np.array([0.1, 0.2, 0.3, 9.0, 0.5], np.float32)
    out = np.full(10, 7, np.uint16)
    beyond = encode_into(values, out, np.array([[3, 0, 1], [0, 5, 3]]))
    expected = np.full(10, 7, np.uint16)
    expected[0], expected[5:8] = LAST, encode(values[:3])[0]
    np.testing.assert_array_equal(out, expected)
    assert beyond == 1
