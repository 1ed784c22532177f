"""Crosstalk: inversion exact by its law, estimate against the value that was put in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_head import MovingHead, shoot

from olatkit.capture.crosstalk import estimate_crosstalk, invert_crosstalk
from olatkit.rig import LightRig, default_rig
from olatkit.schedule import default_114, grouped_schedule, multiplexed_114

RIG = default_rig()
SCHEDULE = default_114()
SIZE = 80
TOLERANCE = 0.002  # a leak of 0.5 % is the smallest worth correcting


def leak(clean, eps):
    leaked = clean.copy()
    leaked[1:] = (1 - eps) * clean[1:] + eps * clean[:-1]
    return leaked


def estimate(eps, *, schedule=SCHEDULE, rig=RIG, frames=130, speed=0.0, phase=37, **camera):
    head = MovingHead(rig, SIZE, speed * SIZE / 128, bounce=0.05)
    ticks = np.arange(frames)
    images = shoot(head, schedule, ticks, phase=phase, crosstalk=eps, **camera)
    return estimate_crosstalk(images, (ticks - phase) % schedule.cycle, rig, schedule, images.mean((0, 3)) > 0.03)


# ---------------------------------------------------------------- inversion

def test_inversion_of_a_pulse():
    leaked = np.array([0.9, 0.1, 0.0])
    np.testing.assert_allclose(invert_crosstalk(leaked, 0.1, previous=np.array(0.0)), [1, 0, 0], atol=1e-15)


@settings(max_examples=40, deadline=None)
@given(eps=st.floats(0, 0.3), seed=st.integers(0, 2**32 - 1))
def test_inversion_undoes_the_leak(eps, seed):
    clean = np.random.default_rng(seed).random((12, 3, 4))
    leaked = leak(clean, eps)
    np.testing.assert_allclose(invert_crosstalk(leaked, eps), clean, atol=1e-9)
    np.testing.assert_allclose(invert_crosstalk(leaked[5:], eps, previous=clean[4]), clean[5:], atol=1e-9)


def test_inversion_in_place_and_in_float32():
    clean = np.random.default_rng(0).random((8, 16, 16), np.float32)
    frames = leak(clean, np.float32(0.08))
    result = invert_crosstalk(frames, 0.08, out=frames)
    assert result is frames
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, clean, atol=1e-6)


def test_unknown_previous_frame_fades():
    """Without the frame before, the first one keeps its leak and each next one has ε/(1-ε) of its error."""
    clean = np.random.default_rng(1).random((6, 5))
    error = np.abs(invert_crosstalk(leak(clean, 0.1)[1:], 0.1) - clean[1:])
    np.testing.assert_allclose(error[1:] / error[:-1], 0.1 / 0.9, rtol=1e-6)


@pytest.mark.parametrize("eps", [-0.01, 0.5, float("nan")])
def test_inversion_refuses_a_share_out_of_range(eps):
    with pytest.raises(ValueError, match=r"expected 0 <= eps < 0\.5"):
        invert_crosstalk(np.zeros((2, 2)), eps)


# ---------------------------------------------------------------- estimate

@pytest.mark.parametrize(("eps", "speed"), [
    (0.0, 0), (0.03, 300), (0.08, 0),
    *(pytest.param(eps, speed, marks=pytest.mark.slow)
      for eps, speed in ((0.01, 0), (0.03, 0), (0.0, 300), (0.01, 300), (0.08, 300))),
])
def test_estimate_with_ambient_light_bounce_and_noise(eps, speed):
    result = estimate(eps, speed=speed, ambient=0.01)
    assert result.eps == pytest.approx(eps, abs=TOLERANCE)
    assert result.stderr < TOLERANCE / 2
    assert result.n > 500
    assert result.reason == ""


def test_estimate_of_a_sequential_order():
    """Neighbours of a light that is hidden are hidden too: only tracking frames leak visibly."""
    order = np.argsort(np.arctan2(RIG.directions[:, 0], RIG.directions[:, 2]))
    result = estimate(0.03, schedule=grouped_schedule(order, group=19, tracking_gain=0.034))
    assert result.eps == pytest.approx(0.03, abs=TOLERANCE)


def test_estimate_with_dead_lights():
    enabled = np.ones(114, bool)
    enabled[::9] = False
    worn = LightRig("worn", RIG.directions, enabled=enabled)
    assert estimate(0.03, rig=worn).eps == pytest.approx(0.03, abs=TOLERANCE)


def test_estimate_ignores_saturated_sources():
    """Tracking frames at several times full scale leak more than their clipped values tell."""
    result = estimate(0.03, schedule=default_114(tracking_gain=0.3))
    assert result.eps == pytest.approx(0.03, abs=TOLERANCE)


def test_estimate_of_a_mosaic():
    head, ticks = MovingHead(RIG, SIZE), np.arange(130)
    colour = shoot(head, SCHEDULE, ticks, crosstalk=0.03)
    mosaic = colour[..., 1].copy()
    mosaic[:, ::2, ::2], mosaic[:, 1::2, 1::2] = colour[:, ::2, ::2, 0], colour[:, 1::2, 1::2, 2]
    result = estimate_crosstalk(mosaic, ticks % 120, RIG, SCHEDULE, colour.mean((0, 3)) > 0.03)
    assert result.eps == pytest.approx(0.03, abs=TOLERANCE)


def test_estimate_skips_the_frame_after_a_gap():
    """40 gaps; taking the stored predecessor there would halve the answer's worth of leaks."""
    head = MovingHead(RIG, SIZE)
    ticks = np.cumsum(np.where(np.arange(240) % 3 == 2, 7, 1))
    images = shoot(head, SCHEDULE, ticks, crosstalk=0.05)
    result = estimate_crosstalk(images, ticks % 120, RIG, SCHEDULE, images.mean((0, 3)) > 0.03)
    assert result.eps == pytest.approx(0.05, abs=TOLERANCE)


def test_no_estimate_has_a_reason():
    few = estimate_crosstalk(np.zeros((50, 16, 16)), np.arange(50), RIG, SCHEDULE, np.ones((16, 16), bool))
    assert "50 frames, less than a cycle of 120" in few.reason
    assert np.isnan(few.eps)
    mixed = multiplexed_114()
    frames = np.zeros((120, 16, 16))
    assert "mix" in estimate_crosstalk(frames, np.arange(120), RIG, mixed, np.ones((16, 16), bool)).reason
    black = estimate_crosstalk(frames, np.arange(120), RIG, SCHEDULE, np.ones((16, 16), bool))
    assert "dark samples" in black.reason
