"""Inverting frames that show several lights at once: Y = W X + noise per pixel, after all are aligned.

References
----------
Schechner, Nayar and Belhumeur, "Multiplexing for optimal lighting", IEEE Trans. PAMI 29(8), 2007,
doi:10.1109/TPAMI.2007.1151.
"""

import logging

import numpy as np

from olatkit.capture.config import IngestConfig
from olatkit.errors import CaptureError

log = logging.getLogger(__name__)

_LEAST_NOISE = 1e-5  # of full scale: below a step of 16 bits


def multiplex_gain(drive: np.ndarray) -> float:
    """Noise of single-light frames over that of inverted frames at equal exposure and additive noise.

    5.41 for the S-matrix of order 115 and 114 lights; below 1 the code is worse than one light at a time.
    """
    inverse = np.linalg.pinv(drive)
    return float(1 / np.sqrt(np.mean((inverse**2).sum(axis=1))))


def invert_drive(drive: np.ndarray, images: np.ndarray, enabled: np.ndarray, config: IngestConfig) -> np.ndarray:
    """Recover single-light images from aligned coded images.

    Parameters
    ----------
    drive : ndarray, shape (S, L)
        Drive of each light in each coded image.
    images : ndarray, shape (S, h, w, 3), float32
        Aligned coded images; full scale 1.
    enabled : ndarray of bool, shape (L,)
        Dead lights get zeros and are left out of the inversion.
    config : IngestConfig
        ``solver`` 'lstsq' or 'wls' (two rounds of weights 1/variance from the sensor's noise model).

    Returns
    -------
    ndarray, shape (L, h, w, 3), float32

    Raises
    ------
    CaptureError
        If the coded images that are left do not separate the lights.
    """
    live = drive[:, enabled]
    rank = int(np.linalg.matrix_rank(live))
    if rank < live.shape[1]:
        raise CaptureError(
            f"the {len(drive)} coded frames around this instant separate {rank} of {live.shape[1]} lights; too many were "
            "dropped"
        )
    condition = np.linalg.cond(live)
    gain = multiplex_gain(live)
    if condition > 200 or gain < 1:
        log.warning(
            "coded schedule: condition number %.0f, gain %.2f; one light at a time would be less noisy", condition, gain
        )
    flat = images.reshape(len(images), -1)
    solved = (np.linalg.pinv(live).astype(np.float32) @ flat).astype(np.float32)
    if config.solver == "wls":
        solved = _weighted(live, flat, solved, config)
    out = np.zeros((drive.shape[1], flat.shape[1]), np.float32)
    out[enabled] = solved
    return out.reshape(drive.shape[1], *images.shape[1:])


def _weighted(drive: np.ndarray, flat: np.ndarray, solved: np.ndarray, config: IngestConfig) -> np.ndarray:
    """Two rounds of weighted least squares with the variance that the current solution predicts.

    Only combinations of frames in which all lights cancel say what is noise: with N W = 0 and variances V the noise is
    V N^T (N V N^T)^-1 N Y. There are S - L of them, so that an S-matrix costs a division per pixel, and as many frames as
    lights leave nothing to weigh.
    """
    cancels = np.linalg.svd(drive)[0][:, drive.shape[1] :].T  # N, (S - L, S)
    if not len(cancels):
        return solved
    # Without read noise dark frames would have no variance at all, and nothing could be divided by it.
    read, inverse = max(config.read_noise_e / config.full_well_e, _LEAST_NOISE) ** 2, np.linalg.pinv(drive)
    for _ in range(2):
        out = np.empty_like(solved)
        for start in range(0, flat.shape[1], 512):
            part = slice(start, start + 512)
            variance = np.maximum(drive @ solved[:, part], 0) / config.full_well_e + read
            spread = (cancels * variance.T[:, None]) @ cancels.T
            left = np.linalg.solve(spread, (cancels @ flat[:, part]).T[..., None])[..., 0].T
            out[:, part] = inverse @ (flat[:, part] - variance * (cancels.T @ left))
        solved = out
    return solved
