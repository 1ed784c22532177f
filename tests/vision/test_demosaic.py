"""Laws of the demosaicing filters."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FLOAT32_EXACT

from olatkit.vision.demosaic import PATTERNS, DemosaicModel, demosaic, demosaic_filters

CHANNEL = {"r": 0, "g": 1, "b": 2}


def mosaic(image, bayer):
    """One colour per pixel."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    index = np.array([CHANNEL[c] for c in bayer]).reshape(2, 2)[y % 2, x % 2]
    return np.take_along_axis(image, index[..., None], axis=2)[..., 0].astype(np.float32)


def smooth_picture(size=96, seed=3):
    """A coloured picture through a lens: noise blurred by 1.2 px, its channels largely alike."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((size, size, 1))
    own = rng.standard_normal((size, size, 3))
    picture = cv2.GaussianBlur((common + 0.3 * own).astype(np.float32), (0, 0), 1.2)
    picture += 2 * cv2.GaussianBlur(rng.standard_normal((size, size, 3)).astype(np.float32), (0, 0), 8)
    return 0.5 + 0.15 * picture / picture.std()


def bilinear(mosaic_, bayer):
    """Normalised convolution with the bilinear kernel, per channel."""
    index = mosaic(np.broadcast_to(np.arange(3.0), (*mosaic_.shape, 3)), bayer)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 4.0
    out = []
    for c in range(3):
        here = (index == c).astype(np.float32)
        out.append(cv2.filter2D(mosaic_ * here, -1, kernel) / cv2.filter2D(here, -1, kernel))
    return np.stack(out, -1)


@settings(max_examples=20, deadline=None)
@given(
    color=st.tuples(*[st.floats(-0.1, 4)] * 3), bayer=st.sampled_from(PATTERNS), height=st.integers(8, 21),
    width=st.integers(8, 21),
)
def test_flat_colour_is_kept_to_the_border(color, bayer, height, width):
    picture = np.broadcast_to(np.array(color, np.float32), (height, width, 3))
    np.testing.assert_allclose(demosaic(mosaic(picture, bayer), bayer), picture, atol=4 * FLOAT32_EXACT)


@pytest.mark.parametrize("bayer", PATTERNS)
def test_linear_in_light(bayer):
    a, b = (np.random.default_rng(n).random((24, 30), np.float32) for n in range(2))
    together = demosaic(2 * a - 0.5 * b, bayer)
    apart = 2 * demosaic(a, bayer) - 0.5 * demosaic(b, bayer)
    np.testing.assert_allclose(together, apart, atol=5 * FLOAT32_EXACT)


@pytest.mark.parametrize("bayer", PATTERNS)
def test_patterns_are_shifts_of_one_another(bayer):
    """Cutting one row or column off a gbrg mosaic leaves another pattern and the same colours inside."""
    picture = smooth_picture(40)
    whole = demosaic(mosaic(picture, "gbrg"), "gbrg")
    for dy in range(2):
        for dx in range(2):
            tile = np.array(list("gbrg")).reshape(2, 2)
            if "".join(np.roll(tile, (-dy, -dx), (0, 1)).ravel()) == bayer:
                part = demosaic(np.ascontiguousarray(mosaic(picture, "gbrg")[dy:, dx:]), bayer)
                np.testing.assert_array_equal(part[6:-6, 6:-6], whole[dy:, dx:][6:-6, 6:-6])
                return
    pytest.fail("no shift of gbrg gives this pattern")


@pytest.mark.parametrize("bayer", PATTERNS)
def test_mean_of_every_channel_is_kept(bayer):
    """Over large areas: the sum over all pixels of what one sample contributes to its own channel is 4 or 2."""
    picture = smooth_picture(128)
    out = demosaic(mosaic(picture, bayer), bayer)
    np.testing.assert_allclose(out.mean(axis=(0, 1)), picture.mean(axis=(0, 1)), rtol=3e-3)


def test_better_than_bilinear():
    picture = smooth_picture()
    raw = mosaic(picture, "gbrg")
    inner = slice(4, -4), slice(4, -4)
    ours = np.square(demosaic(raw, "gbrg") - picture)[inner].mean()
    plain = np.square(bilinear(raw, "gbrg") - picture)[inner].mean()
    assert 10 * np.log10(plain / ours) > 3


@pytest.mark.parametrize("bayer", PATTERNS)
def test_filters_add_up(bayer):
    """Weights on samples of the filter's own colour sum to 1, on the others to 0."""
    filters = demosaic_filters(bayer, DemosaicModel())
    tile = np.array([CHANNEL[c] for c in bayer]).reshape(2, 2)
    dy, dx = (v.ravel() - 3 for v in np.mgrid[0:7, 0:7])
    for phase in range(4):
        channel = tile[(phase // 2 + dy) % 2, (phase % 2 + dx) % 2]
        sums = np.array([[filters[phase, out, channel == c].sum() for c in range(3)] for out in range(3)])
        np.testing.assert_allclose(sums, np.eye(3), atol=FLOAT32_EXACT)


def test_strided_and_integer_input():
    raw = (np.random.default_rng(0).random((40, 40)) * 1000).astype(np.uint16)
    np.testing.assert_array_equal(demosaic(raw[::2], "rggb"), demosaic(raw[::2].astype(np.float32).copy(), "rggb"))


def test_wrong_input():
    with pytest.raises(ValueError, match="pattern 'rgbg' is unknown"):
        demosaic(np.zeros((16, 16), np.float32), "rgbg")
    with pytest.raises(ValueError, match=r"shape \(16, 7\), expected .* at least 8 pixels"):
        demosaic(np.zeros((16, 7), np.float32), "rggb")
    with pytest.raises(ValueError, match=r"shape \(16, 16, 3\)"):
        demosaic(np.zeros((16, 16, 3), np.float32), "rggb")


@pytest.mark.parametrize("bayer", PATTERNS)
@pytest.mark.parametrize("shape", [(8, 9), (17, 12)])
def test_every_output_is_the_weighted_sum_of_its_patch(bayer, shape):
    values = np.random.default_rng(5).random(shape, np.float32)
    filters = demosaic_filters(bayer, DemosaicModel())
    patches = np.lib.stride_tricks.sliding_window_view(np.pad(values, 3, mode="reflect"), (7, 7))
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    expected = np.einsum("yxct,yxt->yxc", filters[2 * (y % 2) + x % 2], patches.reshape(*shape, 49), dtype=float)
    np.testing.assert_allclose(demosaic(values, bayer), expected, atol=4 * FLOAT32_EXACT)
