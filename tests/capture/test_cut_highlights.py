"""The leak of cut highlights is taken out where it can be told from the picture, and nothing else is changed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.capture.crosstalk import invert_crosstalk

SIZE = 40
EPS = 0.08


def highlight(height=6.0, radius=4.0, at=(18, 22)):
    """A round highlight of several times full scale."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return (height * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / radius**2)).astype(np.float32)


def recorded(clean, eps=EPS):
    """What the camera stores of consecutive frames: leaked, then cut at full scale."""
    leaked = clean.copy()
    leaked[1:] = (1 - eps) * clean[1:] + eps * clean[:-1]
    return np.minimum(leaked, np.float32(1)), leaked >= 1


def ramp(low, high):
    return np.linspace(low, high, SIZE, dtype=np.float32)[None] * np.ones((SIZE, 1), np.float32)


@pytest.mark.parametrize("picture", [ramp(0, 0), ramp(0.05, 0.05), ramp(0.2, 0.5)])
def test_a_smooth_frame_after_a_cut_highlight(picture):
    """The plain inversion leaves ε (height - 1) / (1 - ε) of the highlight, 0.43; a ramp is harmonic, its own mean.

    What stays is what the spread of the ramp around the patch leaves open: half of it at most, 0.0 for a flat frame.
    """
    raw, cut = recorded(np.stack([highlight(), picture, picture]))
    plain, better = (invert_crosstalk(raw, EPS, cut=c) for c in (None, cut))
    assert np.abs(plain[1] - picture).max() > 0.4
    flat = np.ptp(picture) == 0
    assert np.abs(better[1] - picture).max() < (2e-3 if flat else 0.04)
    # The frame after it inherits ε/(1-ε) of the error.
    assert np.abs(better[2] - picture).max() < (2e-4 if flat else 0.0035)


def test_colours_and_mosaics_are_told_apart():
    """A leak of red light alone, next to bright green: each colour is interpolated from its own pixels."""
    colours = np.array([0.1, 0.6, 0.3], np.float32)
    clean = np.stack([highlight()[..., None] * np.array([1, 0, 0], np.float32), np.ones((SIZE, SIZE, 3)) * colours])
    raw, cut = recorded(clean.astype(np.float32))
    np.testing.assert_allclose(invert_crosstalk(raw, EPS, cut=cut)[1], clean[1], atol=2e-3)
    pattern = np.tile([[1, 2], [0, 1]], (SIZE // 2, SIZE // 2))[None, ..., None]
    one = [np.take_along_axis(a, np.broadcast_to(pattern, (2, SIZE, SIZE, 1)), axis=3)[..., 0] for a in (raw, cut, clean)]
    np.testing.assert_allclose(invert_crosstalk(one[0], EPS, cut=one[1], mosaic=True)[1], one[2][1], atol=2e-3)


def test_a_varied_picture_is_believed_rather_than_its_surroundings():
    """Stripes of 0 and 0.5 say nothing about a pixel between them: with a leak of 1 % nothing may be taken away."""
    stripes = 0.5 * (np.indices((SIZE, SIZE)).sum(axis=0) % 4 < 2).astype(np.float32)
    cut = np.zeros((2, SIZE, SIZE), bool)
    cut[0, 10:14, 10:14] = True
    frames = np.stack([np.where(cut[0], np.float32(1), 0), stripes])
    plain, cautious = (invert_crosstalk(frames, 0.01, cut=c) for c in (None, cut))
    np.testing.assert_array_equal(cautious, plain)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), eps=st.floats(0.005, 0.3), share=st.sampled_from([0.0, 0.02, 0.3, 1.0]))
def test_nothing_is_raised_and_nothing_else_touched(seed, eps, share):
    rng = np.random.default_rng(seed)
    frames = rng.random((2, 12, 16), np.float32)
    cut = rng.random(frames.shape) < share
    plain, better = (invert_crosstalk(frames, eps, cut=c) for c in (None, cut))
    np.testing.assert_array_equal(better[0], plain[0])
    np.testing.assert_array_equal(better[1][~cut[0]], plain[1][~cut[0]])
    assert (better[1] <= plain[1]).all()
    assert np.isfinite(better).all()
