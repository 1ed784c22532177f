"""The lightings of training samples, drawn so that targets are not burnt out, and the light weights they stand for."""

import os

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.banks import read_bank
from olatkit.render.sampling import GRID, LightingSampler, SamplingConfig
from olatkit.render.weights import cell_matrix
from olatkit.rig import LightRig

BURNT_SHARE = 0.1  # of the subject's pixels: a target with more at full scale is drawn anew
TRIES = 5


def open_sampler(
    path: str | os.PathLike[str], maps: str, config: SamplingConfig | None = None
) -> LightingSampler:
    """A sampler of the maps of a bank that are for 'train' or for 'test'.

    Raises
    ------
    FormatError
        The bank is missing or damaged, or has no such maps.
    """
    try:
        return LightingSampler(read_bank(path).part(maps).fine, config or SamplingConfig())
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(f"{path}: {error}; use a bank with maps for both sides") from error


def maps_for(split: str | None) -> str:
    """Which maps of a bank light a split of subjects: those held out for all but 'train'."""
    return "train" if split in (None, "train") else "test"


def lighting_matrix(rig: LightRig) -> np.ndarray:
    """Solid angle of every pixel of a 16 x 16 lighting inside every light's cell, (L, 256), float32."""
    return cell_matrix(rig, GRID, GRID).toarray().astype(np.float32)


def draw_triplets(
    sampler: LightingSampler, rng: np.random.Generator, count: int, matrix: np.ndarray, pixels: np.ndarray
) -> np.ndarray:
    """Draw lightings i, j, k for some samples; a target that burns out the subject is drawn anew, up to five times.

    Parameters
    ----------
    sampler : LightingSampler
        The distributions and their maps.
    rng : Generator
        Decides everything.
    count : int
        Triplets.
    matrix : ndarray, shape (L, 256)
        From :func:`lighting_matrix`.
    pixels : ndarray, shape (L, N, 3)
        Linear radiance of some pixels of the subject under every light, times kappa.

    Returns
    -------
    ndarray, shape (count, 3, 16, 16, 3), float32
        Linear radiance.
    """
    out = np.empty((count, 3, GRID, GRID, 3), np.float32)
    waiting = np.arange(count)
    for _ in range(TRIES):
        triplet = sampler.sample(rng, len(waiting))
        out[waiting] = np.stack([triplet.light_i, triplet.light_j, triplet.light_k], axis=1)
        burnt = burnt_share(out[waiting, 2], matrix, pixels)
        waiting = waiting[burnt > BURNT_SHARE]
        if not len(waiting):
            break
    return out


def burnt_share(lightings: np.ndarray, matrix: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Share of pixels with a channel above 1 under lightings (K, 16, 16, 3), shape (K,); 0 without pixels."""
    if not pixels.shape[1]:
        return np.zeros(len(lightings))
    weights = light_weights_of(lightings, matrix)
    relit = weights.transpose(2, 0, 1) @ pixels.transpose(2, 0, 1)  # (3, K, L) (3, L, N)
    return (relit > 1).any(axis=0).mean(axis=1)


def light_weights_of(lightings: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Weights (..., L, 3) of lightings (..., 16, 16, 3): radiance times solid angle."""
    return matrix @ lightings.reshape(*lightings.shape[:-3], GRID * GRID, 3)
