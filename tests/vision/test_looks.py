"""Looks sampled and blended in one pass, against OpenCV's bicubic remapping."""

import cv2
import numpy as np
import pytest
from tolerances import FLOAT32_EXACT

from olatkit.vision.looks import BORDER, Look, blend_looks, inside, padded, sample_look

HEIGHT, WIDTH = 23, 31
CUBIC = 1e-4  # OpenCV rounds the fractions of positions


@pytest.fixture
def picture():
    return np.random.default_rng(3).random((HEIGHT, WIDTH, 3), np.float32)


def positions(seed, reach=0.0):
    """Places in the picture, and ``reach`` times its size beyond."""
    places = np.random.default_rng(seed).random((7, 64, 2)) * (1 + 2 * reach) - reach
    return (places * (WIDTH - 1, HEIGHT - 1)).astype(np.float32)


def look(picture, near, far=None, share=0.0, weight=1.0):
    return Look(padded(picture), near, near if far is None else far, np.float32(share), np.float32(weight))


def sampled(one):
    out = np.full((*one.near.shape[:2], 3), np.nan, np.float32)
    sample_look(one, out)
    return out


def remapped(picture, where):
    return cv2.remap(picture, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("reach", [0.0, 1.0])
def test_samples_are_bicubic_and_repeat_the_border(picture, reach):
    where = positions(1, reach)
    np.testing.assert_allclose(sampled(look(picture, where)), remapped(picture, where), atol=CUBIC)


def test_whole_positions_give_the_pixels_themselves(picture):
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    np.testing.assert_array_equal(sampled(look(picture, np.stack([x, y], axis=-1).astype(np.float32))), picture)


@pytest.mark.parametrize("share", [0.25, 1.5, -0.5])
def test_positions_are_linear_in_time(picture, share):
    near, far = positions(1), positions(2)
    expected = sampled(look(picture, (1 - share) * near + np.float32(share) * far))
    np.testing.assert_allclose(sampled(look(picture, near, far, share)), expected, atol=100 * FLOAT32_EXACT)


def test_a_blend_is_the_weighted_sum_of_its_looks(picture):
    one, two = look(picture, positions(1), weight=0.3), look(picture[::-1], positions(2), positions(3), 0.5, 0.7)
    out = np.empty((7, 64, 3), np.float32)
    blend_looks(one, two, out)
    np.testing.assert_allclose(out, sampled(one) + sampled(two), atol=FLOAT32_EXACT)


def test_positions_that_are_no_numbers_stay_in_the_picture(picture):
    where = positions(1)
    where[0, :5] = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30])[:, None]
    got = sampled(look(picture, where))
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(got[1:], sampled(look(picture, where[1:])))


def test_padding_repeats_the_border(picture):
    around = padded(picture)
    np.testing.assert_array_equal(around, np.pad(picture, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="edge"))
    np.testing.assert_array_equal(inside(around), picture)
