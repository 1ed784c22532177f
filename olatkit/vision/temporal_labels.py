"""Temporal clean-up of label maps: a vote of three instants along the motion."""

from collections.abc import Sequence

import numpy as np

from olatkit.vision.warp import pixel_grid


def vote_labels(labels: np.ndarray, neighbours: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Replace a label where both neighbours in time agree on another one.

    Parameters
    ----------
    labels : ndarray, shape (H, W), uint8
        Labels of this instant.
    neighbours : sequence of (ndarray (H, W) uint8, ndarray (H, W, 2) float32, ndarray (H, W) bool)
        Per neighbour its labels, the flow [px] from this instant to it, and the points of this instant that it does
        not show. With fewer than two neighbours, as at the ends of a take, nothing changes.

    Returns
    -------
    ndarray, shape (H, W), uint8
        With three votes a majority other than the label itself needs both neighbours, so a point that either of
        them hides keeps its label.
    """
    if len(neighbours) < 2:
        return labels.copy()
    (before, to_before, hidden_before), (after, to_after, hidden_after) = neighbours
    moved_before, moved_after = (_moved(before, to_before), _moved(after, to_after))
    agree = (moved_before == moved_after) & ~hidden_before & ~hidden_after
    return np.where(agree, moved_before, labels)


def _moved(labels: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Labels found at the end of the flow, nearest pixel, border repeated."""
    import cv2

    where = pixel_grid(*flow.shape[:2]) + flow
    return cv2.remap(labels, where, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
