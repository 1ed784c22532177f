"""Foreground of simple pictures."""

import numpy as np

from olatkit.vision.matting import foreground_mask

Y, X = np.mgrid[0:80, 0:100]
DISC = (Y - 40) ** 2 + (X - 55) ** 2 < 25**2


def agreement(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def test_a_bright_disc():
    grey = np.where(DISC, 0.5, 0.01) + np.random.default_rng(0).normal(0, 0.003, DISC.shape)
    assert agreement(foreground_mask(grey), DISC) > 0.93


def test_holes_are_filled_and_specks_left_out():
    grey = np.where(DISC, 0.5, 0.0)
    grey[35:45, 50:60] = 0  # an eye
    grey[2:6, 2:6] = 1.0  # a lamp
    mask = foreground_mask(grey)
    assert mask[40, 55]
    assert not mask[:10, :10].any()


def test_a_subject_that_touches_the_border():
    grey = np.where(Y > 30, 0.5, 0.0)
    assert agreement(foreground_mask(grey), Y > 30) > 0.95


def test_nothing_is_nothing():
    assert not foreground_mask(np.zeros((40, 40))).any()
    assert not foreground_mask(np.full((40, 40), -0.1)).any()


def test_a_threshold_wins():
    grey = np.where(DISC, 0.5, 0.0)
    assert not foreground_mask(grey, threshold=0.6).any()
    assert agreement(foreground_mask(grey, threshold=0.25), DISC) > 0.93
