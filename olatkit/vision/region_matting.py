"""Uncertain regions become clean ones: soft guesses are propagated along the colours of the picture."""

import numpy as np

from olatkit.errors import ConfigError

# Weight of a sure guess against the smoothness of the matte.
_TRUST = 0.1
# Certainty from which a guess stands.
_SURE = 0.8


def matte_regions(image_srgb: np.ndarray, likelihoods: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Settle several regions at once by the matting Laplacian.

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
        Mattes of the regions, 0 to 1.

    Raises
    ------
    ConfigError
        pymatting is not installed.

    Notes
    -----
    Each matte α minimises αᵀLα + Σ c (α - p)², with the matting Laplacian L, the guess p and the certainty c, the
    square of the best probability's lead. Pixels whose certainty is high keep their guess, unless they lie beside
    uncertain ones. The mattes of all regions sum to 1 by construction.

    References
    ----------
    Levin, Lischinski and Weiss, "A closed-form solution to natural image matting", IEEE TPAMI 30(2), 2008,
    doi:10.1109/TPAMI.2007.1177.
    """
    try:
        from pymatting import cf_laplacian, cg, ichol
    except ImportError as error:
        raise ConfigError("mattes need pymatting: pip install 'olatkit[labels]'") from error
    from scipy.sparse import diags

    best = np.sort(likelihoods, axis=0)
    lead = np.where(person, np.square(best[-1] - best[-2]), 1.0)
    open_ = _widen(lead < _SURE)
    out = np.where(person, likelihoods, 0).astype(np.float32)
    if not open_.any():
        return out
    free, held = open_.ravel(), ~open_.ravel()
    laplacian = cf_laplacian(image_srgb / 255.0, epsilon=1e-5, is_known=held).tocsr()[free]
    weight = _TRUST * lead.ravel()[free] + 1e-5
    system = (laplacian[:, free] + diags(weight)).tocsc()
    solve = ichol(system, discard_threshold=1e-3)
    for plane in out.reshape(len(out), -1):
        guess = plane[free].astype(np.float64)
        known = weight * guess - laplacian[:, held] @ plane[held].astype(np.float64)
        plane[free] = np.clip(cg(system, known, x0=guess, M=solve, rtol=1e-4, maxiter=400), 0, 1)
    return out


def _widen(region: np.ndarray) -> np.ndarray:
    """A region and its neighbouring pixels."""
    import cv2

    return cv2.dilate(region.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
