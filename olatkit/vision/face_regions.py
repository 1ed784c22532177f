"""Skin, neck, hair and cloth of a person, from where the face is and from the colours of this very picture."""

from dataclasses import dataclass

import numpy as np

from olatkit.vision.face_points import CHIN, FOREHEAD, JAW_LEFT, JAW_RIGHT, OVAL, fill

REGIONS = ("skin", "neck", "cloth", "hair")
# Bins per axis of the colour histograms, and how often colours and regions are found from each other.
_BINS, _ROUNDS = 20, 4
# Hair that differs less than this from the skin (in CIE Lab) is a bald head: a shaved one lies at 3, grey stubble at 5.
_BALD = 4.0


@dataclass(frozen=True, eq=False)
class FaceFrame:
    """Positions relative to a face.

    Attributes
    ----------
    across : ndarray, shape (H, W)
        0 on the face's axis, -1 and 1 at its left and right edge in the picture.
    up : ndarray, shape (H, W)
        0 at the chin, 1 at the upper end of the mesh, below the hairline.
    oval : ndarray of bool, shape (H, W)
        Inside the mesh.
    """

    across: np.ndarray
    up: np.ndarray
    oval: np.ndarray


def face_frame(points: np.ndarray, shape: tuple[int, int]) -> FaceFrame:
    """The frame of a face with the 468 ``points`` (x, y) [px] in a picture of ``shape`` (H, W)."""
    chin, forehead = points[CHIN], points[FOREHEAD]
    axis = (forehead - chin) / np.square(forehead - chin).sum()
    side = np.array([-axis[1], axis[0]]) * np.hypot(*(forehead - chin))
    left, right = points[JAW_LEFT], points[JAW_RIGHT]
    half = abs(float((right - left) @ side)) / 2
    y, x = np.mgrid[: shape[0], : shape[1]]
    middle = (left + right) / 2
    across = ((x - middle[0]) * side[0] + (y - middle[1]) * side[1]) / max(half, 1e-6)
    up = (x - chin[0]) * axis[0] + (y - chin[1]) * axis[1]
    return FaceFrame(across.astype(np.float32), up.astype(np.float32), fill(points[list(OVAL)], shape))


def region_priors(frame: FaceFrame) -> np.ndarray:
    """How likely each region is at a place, whatever its colour: (4, H, W) float32 in the order of REGIONS, sum 1."""
    across, up, oval = np.abs(frame.across), frame.up, frame.oval
    below_brows = oval & (up < 0.75)
    beside = (across < 1.45) & (up > 0.2) & (up < 0.85)
    skin = np.select([below_brows, oval, beside, up > 0], [0.98, 0.85, 0.35, 0.12], 0.001)
    hair = np.select(
        [below_brows, oval, up > 1.05, up > 0.1, up > -0.5], [0.004, 0.15, 0.85, 0.6, 0.25], 0.03
    )
    # A neck is narrower than the face and seldom seen for more than half of its height.
    narrow = _fade(across, 0.75, 1.25)
    neck = np.where(oval | (up > 0.45), 0.001, 0.6 * narrow * _fade(-up, 0.25, 0.65) + 0.002)
    cloth = np.where(oval, 0.001, np.where(up > 0.1, 0.004, 0.02 + 0.8 * _rise(-up, 0.0, 0.6)))
    priors = np.stack([skin, neck, cloth, hair]).astype(np.float32)
    return priors / priors.sum(axis=0)


def region_likelihoods(image_srgb: np.ndarray, person: np.ndarray, frame: FaceFrame) -> np.ndarray:
    """Probability of each region at each pixel of the person, (4, H, W) float32 in the order of REGIONS, sum 1.

    Parameters
    ----------
    image_srgb : ndarray, shape (H, W, 3), uint8
        The picture.
    person : ndarray of bool, shape (H, W)
        Where the person is; elsewhere the answer is the prior.
    frame : FaceFrame
        Where the face is.

    Notes
    -----
    Regions and their colour histograms are found in turn from each other (expectation maximisation), starting from
    the priors. Skin and neck share one histogram. Hair whose mean colour hardly differs from that of the skin is a
    bald head, and counts as skin.
    """
    priors = region_priors(frame)
    lab = _smooth_lab(image_srgb)
    bins = _colour_bins(lab)
    index = np.ravel_multi_index(tuple(bins[person].T), (_BINS,) * 3)
    prior = priors[:, person]
    share = prior
    for _ in range(_ROUNDS):
        colours = np.stack([_histogram(index, weight) for weight in (share[0] + share[1], share[2], share[3])])
        share = prior * colours[[0, 0, 1, 2]][:, index]
        share /= share.sum(axis=0)
    if _colour_difference(lab[person], share[0], share[3]) < _BALD:
        share[0] += share[3]
        share[3] = 0
    out = priors.copy()
    out[:, person] = share
    return out


def _smooth_lab(image_srgb: np.ndarray) -> np.ndarray:
    """CIE Lab of the slightly blurred picture, (H, W, 3) float32."""
    import cv2

    smooth = cv2.GaussianBlur(image_srgb, (0, 0), 1.0)
    return cv2.cvtColor(smooth.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _colour_difference(lab: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Distance between the mean Lab colours of two regions, given as weights of the pixels (N, 3)."""
    means = [weight @ lab / max(float(weight.sum()), 1e-6) for weight in (first, second)]
    return float(np.linalg.norm(means[0] - means[1]))


def _colour_bins(lab: np.ndarray) -> np.ndarray:
    """Histogram bin of every pixel, (H, W, 3)."""
    scaled = (lab - np.array([0, -50, -50], np.float32)) / np.array([100, 100, 100], np.float32) * _BINS
    return np.clip(scaled.astype(int), 0, _BINS - 1)


def _histogram(index: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Smooth density of colours, flat (BINS³,), never zero."""
    from scipy.ndimage import gaussian_filter

    counts = np.bincount(index, weight, _BINS**3).reshape(_BINS, _BINS, _BINS)
    # Lightness, which shading changes, is blurred more than colour.
    smooth = gaussian_filter(counts, (1.2, 0.7, 0.7), mode="nearest").ravel()
    return (smooth / max(smooth.sum(), 1e-12) + 1e-6).astype(np.float32)


def _fade(value: np.ndarray, start: float, end: float) -> np.ndarray:
    """1 up to ``start``, 0 from ``end`` on, straight between."""
    return np.clip((end - value) / (end - start), 0, 1)


def _rise(value: np.ndarray, start: float, end: float) -> np.ndarray:
    """0 up to ``start``, 1 from ``end`` on, straight between."""
    return 1 - _fade(value, start, end)
