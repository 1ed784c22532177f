"""The sensor model: noise statistics, mosaic, codes."""

import numpy as np
import pytest

from olatkit.simulate.sensor import Sensor, mosaic


@pytest.mark.parametrize("level", [0.02, 0.2, 0.7])
def test_photon_transfer(level: float) -> None:
    sensor = Sensor()
    frames = np.stack([sensor.expose(np.full((64, 64, 3), level), tick) for tick in range(30)]).astype(float)
    gain = sensor.full_scale_codes / sensor.full_well_e
    electrons = level * sensor.full_well_e
    assert frames.mean() == pytest.approx(64 + electrons * gain, rel=2e-3)
    expected = gain**2 * (electrons + sensor.read_noise_e**2) + 1 / 12
    # Standard error of a variance from 122,880 samples is 0.4 %.
    assert frames.var() == pytest.approx(expected, rel=0.02)


def test_no_light_straddles_the_black_level() -> None:
    codes = Sensor().expose(np.zeros((64, 64, 3)), 5)
    assert codes.min() < 64 < codes.max()
    assert codes.mean() == pytest.approx(64, abs=0.3)


def test_saturation_stops_at_white() -> None:
    assert (Sensor().expose(np.full((8, 8, 3), 3.0), 0) == 4095).all()


def test_without_noise_codes_are_rounded_light() -> None:
    sensor = Sensor(noise=False)
    light = np.random.default_rng(2).uniform(0, 1, (6, 8, 3))
    expected = np.round(64 + mosaic(light, "gbrg") * 4031)
    np.testing.assert_array_equal(sensor.expose(light, 1), expected)


def test_noise_depends_on_seed_and_tick_alone() -> None:
    light = np.full((16, 16, 3), 0.3)
    first = Sensor(seed=3).expose(light, 7)
    Sensor(seed=3).expose(light, 8)
    np.testing.assert_array_equal(first, Sensor(seed=3).expose(light, 7))
    assert (first != Sensor(seed=3).expose(light, 8)).any()
    assert (first != Sensor(seed=4).expose(light, 7)).any()


@pytest.mark.parametrize("bayer", ["gbrg", "rggb", "grbg", "bggr"])
def test_mosaic_keeps_the_named_channel(bayer: str) -> None:
    image = np.broadcast_to([1.0, 2.0, 3.0], (4, 6, 3))
    expected = np.array([{"r": 1, "g": 2, "b": 3}[c] for c in bayer]).reshape(2, 2)
    np.testing.assert_array_equal(mosaic(image, bayer), np.tile(expected, (2, 3)))


def test_bad_pixels_are_stuck_and_fixed() -> None:
    sensor = Sensor(bad_pixels=0.05)
    a, b = (sensor.expose(np.full((64, 64, 3), 0.4), tick) for tick in (1, 2))
    stuck = sensor.bad_pixel_map((64, 64))
    assert 0.03 < (stuck > 0).mean() < 0.07
    for frame in (a, b):
        assert (frame[stuck == 1] == 64).all()
        assert (frame[stuck == 2] == 4095).all()


@pytest.mark.parametrize("wrong, text", [
    ({"white_level": 5000}, "white level 5000"), ({"bayer": "rgb"}, "bayer pattern 'rgb'"),
    ({"full_well_e": 0.0}, "full_well_e 0"), ({"bad_pixels": 0.9}, "bad_pixels 0.9"),
])
def test_impossible_sensors_are_refused(wrong: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Sensor(**wrong)
