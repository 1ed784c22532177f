"""Uncertain regions become clean ones: soft guesses are spread along the colours of the picture."""

import numpy as np

from olatkit.vision.matting_laplacian import spread

# Weight of a sure guess against the smoothness of the matte.
_TRUST = 0.1
# Certainty from which a guess stands.
_SURE = 0.8


def matte_regions(image_srgb: np.ndarray, likelihoods: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Settle several regions at once by matting.

    Parameters
    ----------
    image_srgb : ndarray, shape (H, W, 3), uint8
        The picture, small: the effort grows with its pixels.
    likelihoods : ndarray, shape (K, H, W)
        Probability of each region, sum 1.
    person : ndarray of bool, shape (H, W)
        Where the regions are.

    Returns
    -------
    ndarray, shape (K, H, W), float32
        Mattes of the regions, 0 to 1; their sum is 1 inside.

    Raises
    ------
    ConfigError
        pymatting is not installed.

    Notes
    -----
    A guess counts by its certainty, the square of the best probability's lead. Pixels of high certainty keep their
    guess, unless they lie beside uncertain ones.
    """
    best = np.sort(likelihoods, axis=0)
    lead = np.where(person, np.square(best[-1] - best[-2]), 1.0)
    return spread(image_srgb, np.where(person, likelihoods, 0), _widen(lead < _SURE), _TRUST * lead)


def _widen(region: np.ndarray) -> np.ndarray:
    """A region and its neighbouring pixels."""
    import cv2

    return cv2.dilate(region.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
