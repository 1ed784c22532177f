"""The vote of three instants."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.vision.temporal_labels import vote_labels

SHAPE = (24, 30)
STILL = np.zeros((*SHAPE, 2), np.float32)
SEEN = np.zeros(SHAPE, bool)


def draw(seed):
    return np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.uint8)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_without_motion_it_is_the_majority(seed):
    before, now, after = (draw([seed, k]) for k in range(3))
    voted = vote_labels(now, [(before, STILL, SEEN), (after, STILL, SEEN)])
    stack = np.stack([before, now, after])
    counts = np.stack([(stack == c).sum(axis=0) for c in range(3)])
    clear = counts.max(axis=0) >= 2
    assert (voted[clear] == counts.argmax(axis=0)[clear]).all()
    assert (voted[~clear] == now[~clear]).all()


def test_a_flicker_on_moving_content_is_removed():
    scene = np.zeros((24, 40), np.uint8)
    scene[8:16, 15:25] = 10
    before, now, after = (scene[:, 5 - s : 35 - s].copy() for s in (0, 2, 4))  # moves right by 2
    clean = now.copy()
    now[10:12, 14:16] = 17
    back, forth = np.full((*SHAPE, 2), (-2, 0), np.float32), np.full((*SHAPE, 2), (2, 0), np.float32)
    voted = vote_labels(now, [(before, back, SEEN), (after, forth, SEEN)])
    assert (voted == clean).all()


def test_hidden_points_and_ends_keep_their_label():
    now, other = np.full(SHAPE, 1, np.uint8), np.full(SHAPE, 2, np.uint8)
    hidden = SEEN.copy()
    hidden[3, 4] = True
    voted = vote_labels(now, [(other, STILL, hidden), (other, STILL, SEEN)])
    assert voted[3, 4] == 1
    assert (np.delete(voted.ravel(), 3 * SHAPE[1] + 4) == 2).all()
    assert (vote_labels(now, [(other, STILL, SEEN)]) == now).all()
    assert (vote_labels(now, []) == now).all()
