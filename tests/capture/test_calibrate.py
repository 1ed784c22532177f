"""Sensor corrections on frames whose defects are known."""

import numpy as np
import pytest

from olatkit.capture.calibrate import (
    find_bad_pixels,
    find_transients,
    mean_dark,
    photon_transfer,
    replace_bad_pixels,
    row_offsets,
)
from olatkit.errors import CaptureError


def mosaic_scene(height=60, width=80):
    """A mosaic whose four colour planes differ strongly in level but vary smoothly."""
    y, x = np.mgrid[:height, :width]
    return (200 + 3 * x + 2 * y) * np.array([[1.0, 2.0], [3.0, 4.0]])[y % 2, x % 2]


def test_mean_dark_averages_without_overflow():
    frames = np.full((70, 4, 5), 65000, np.uint16)
    frames[::2] -= 100
    np.testing.assert_array_equal(mean_dark(frames), np.full((4, 5), 64950, np.float32))
    with pytest.raises(CaptureError, match="no dark frame"):
        mean_dark(frames[:0])


@pytest.mark.parametrize("bayer", ["gbrg", None])
def test_bad_pixels_are_exactly_the_planted_ones(bayer):
    rng = np.random.default_rng(0)
    dark = 64 + rng.normal(0, 0.3, (60, 80)).astype(np.float32)
    if bayer:
        dark[::2, ::2] += 20  # colours with their own offset are not bad
    flat = mosaic_scene() if bayer else np.full((60, 80), 1000.0)
    hot, dead = [(5, 7), (30, 41), (59, 79)], [(12, 60), (33, 3)]
    for y, x in hot:
        dark[y, x] += 10
    for y, x in dead:
        flat[y, x] *= 0.3
    bad = find_bad_pixels(dark, bayer=bayer, flat=flat)
    assert set(zip(*np.nonzero(bad), strict=True)) == set(hot + dead)


def test_pixels_under_a_shield_are_not_judged_by_the_flat_field():
    flat = np.full((60, 80), 1000.0)
    flat[:, :12] = np.random.default_rng(0).normal(0, 2, (60, 12))
    flat[30, 41] = 300
    bad = find_bad_pixels(np.full((60, 80), 64.0, np.float32), bayer="gbrg", flat=flat)
    np.testing.assert_array_equal(np.argwhere(bad), [[30, 41]])


def test_bad_pixels_of_colour_frames():
    dark = np.random.default_rng(0).normal(64, 0.3, (20, 20, 3))
    dark[4, 9, 2] += 30
    np.testing.assert_array_equal(np.argwhere(find_bad_pixels(dark)), [[4, 9]])


@pytest.mark.parametrize("bayer", ["gbrg", None])
def test_replacement_uses_neighbours_of_one_colour(bayer):
    scene = mosaic_scene() if bayer else np.add.outer(np.arange(60.0), np.arange(80.0))
    bad = np.zeros(scene.shape, bool)
    bad[10, 10] = bad[10, 12] = bad[31, 44] = bad[0, 0] = True
    broken = np.where(bad, 60000, scene).astype(np.uint16)
    fixed = replace_bad_pixels(broken, bad, bayer)
    assert fixed.dtype == np.uint16
    np.testing.assert_array_equal(fixed[~bad], broken[~bad])
    # A plane's values change by at most 5 codes per plane pixel times the colour's factor 4.
    assert np.abs(fixed.astype(float) - scene)[bad].max() <= 40
    assert (broken[bad] == 60000).all()


def test_replacement_in_a_linear_ramp_is_exact():
    scene = np.add.outer(3 * np.arange(20), 5 * np.arange(30)).astype(float)
    bad = np.zeros(scene.shape, bool)
    bad[7, 8] = True
    np.testing.assert_array_equal(replace_bad_pixels(np.where(bad, 1e6, scene), bad, "rggb"), scene)


def test_replacement_of_colour_frames_and_of_nothing():
    frame = np.random.default_rng(0).random((6, 6, 3))
    bad = np.zeros((6, 6), bool)
    np.testing.assert_array_equal(replace_bad_pixels(frame, bad, None), frame)
    bad[2, 3] = True
    ring = [frame[y, x] for y in (1, 2, 3) for x in (2, 3, 4) if (y, x) != (2, 3)]
    np.testing.assert_allclose(replace_bad_pixels(frame, bad, None)[2, 3], np.median(ring, axis=0))


def test_replacement_refuses_areas():
    bad = np.zeros((20, 20), bool)
    bad[4:12, 4:12] = True
    with pytest.raises(CaptureError, match=r"row 6, column 6 has no good neighbour .*64 bad pixels"):
        replace_bad_pixels(np.zeros((20, 20)), bad, "gbrg")


@pytest.mark.parametrize("bayer", ["gbrg", None])
def test_transients_are_found_and_highlights_kept(bayer):
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:60, :80]
    clean = 100 + 2000 * np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / (2 * 3.0**2))  # a small highlight, lens-blurred
    frame = rng.normal(clean, np.sqrt(0.2 * clean + 4))
    frame[10, 11] += 500
    frame[50, 70] -= 95
    hit = find_transients(frame, bayer=bayer, gain=0.2, read_noise=2.0)
    np.testing.assert_array_equal(np.argwhere(hit), [[10, 11], [50, 70]])


def test_row_offsets_leave_the_black_level():
    rng = np.random.default_rng(3)
    offset = rng.normal(0, 5, 40)
    shielded = 64 + offset[:, None] + np.zeros((40, 8))
    np.testing.assert_allclose(row_offsets(shielded), offset - offset.mean(), atol=1e-5)
    colour = np.repeat(shielded[..., None], 3, axis=2)
    np.testing.assert_allclose(row_offsets(colour), row_offsets(shielded))


def test_photon_transfer_finds_gain_and_read_noise():
    """Within 3 %: the variance of 250,000 differences is known to 0.3 %, the read variance is a small remainder."""
    rng = np.random.default_rng(4)
    pattern = rng.normal(1, 0.02, (500, 500))  # fixed pattern must cancel
    pairs = [
        0.2 * rng.poisson(level * pattern, (2, 500, 500)) + rng.normal(0, 3, (2, 500, 500))
        for level in (20, 500, 4000, 15000)
    ]
    gain, read_noise = photon_transfer(pairs)
    assert gain == pytest.approx(0.2, rel=0.03)
    assert read_noise == pytest.approx(3, rel=0.03)


def test_photon_transfer_refuses_what_it_cannot_fit():
    rng = np.random.default_rng(5)
    with pytest.raises(CaptureError, match="expected two levels"):
        photon_transfer([rng.random((2, 9, 9))])
    falling = [rng.normal(level, noise, (2, 99, 99)) for level, noise in ((10, 5), (100, 1))]
    with pytest.raises(CaptureError, match="expected positive numbers"):
        photon_transfer(falling)
