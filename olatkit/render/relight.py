"""The OLAT sum: a picture under any lighting is the weighted sum of the pictures under each light.

Light adds up, so this is exact for whatever the lights can reproduce, and it needs an imageset. It is not
``olatkit relight``, the network that changes the light in an ordinary video.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from olatkit.imageset import Imageset
from olatkit.io.codes import decode
from olatkit.io.used_memory import empty_array

# Floats per tile of weights: whole RGB pixels, and a whole number of vector registers.
TILE = 48
# Floats of the picture that one pass over the lights completes: 96 kB, which stays in the second-level cache.
BLOCK = 512 * TILE
# Blocks of pixels that a batch is shared out in: enough to keep all threads busy to the end.
SHARES = 16


def relight(
    imageset: Imageset | np.ndarray, weights: np.ndarray, *, device: str = "cpu", out: np.ndarray | None = None
) -> np.ndarray:
    """Sum the images of all lights, each times its weight: the OLAT sum, not the network of ``olatkit relight``.

    Parameters
    ----------
    imageset : Imageset or ndarray, shape (L, H, W, 3)
        Linear images, one per light.
    weights : ndarray, shape (L, 3) or (K, L, 3)
        Per light and channel [sr x radiance], as from ``light_weights``; K lightings in one pass over the images.
    device : str
        "cpu", or a torch device such as "cuda". For several calls on one imageset make a
        :class:`~olatkit.render.basis.LightingBasis` once: it stays on the device.
    out : ndarray, shape (H, W, 3) or (K, H, W, 3), float32, optional
        Contiguous memory to put the result in. Large batches in a loop save a fifth of the time: to get fresh memory
        from the system takes longer than to fill it.

    Returns
    -------
    ndarray, shape (H, W, 3) or (K, H, W, 3), float32
        Linear, no exposure, nothing clipped; ``out`` if that was given.

    Raises
    ------
    ValueError
        The number of lights differs, weights are not finite, or ``out`` does not fit or is part of the images.
    TypeError
        ``out`` is no array.
    ConfigError
        The device is not there.

    Notes
    -----
    ``I[p, c] = sum_l w[l, c] O[l, p, c]`` in float32 (Debevec et al., Acquiring the Reflectance Field of a Human
    Face, SIGGRAPH 2000, doi:10.1145/344779.344855). Lights whose weights are zero are not read, and a single
    weight of 1 returns that light's image bit for bit. One lighting takes little more than one reading of the
    images from memory.
    """
    images = imageset.radiance if isinstance(imageset, Imageset) else np.asarray(imageset)
    weights = check_weights(images, weights)
    lit = _lit(weights)
    if device != "cpu":
        from olatkit.render.basis import LightingBasis

        return LightingBasis(images[lit], device=device).relight(weights[..., lit, :], out=out)
    return _sum(np.ascontiguousarray(images, np.float32), lit, weights, out)


def relight_codes(codes: np.ndarray, weights: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """The OLAT sum of codes (L, H, W, 3) uint16 of :mod:`olatkit.io.codes`, as takes and shards store them.

    The same as :func:`relight` of the decoded images but for rounding, from half the memory; never decoded as a whole.
    """
    if codes.dtype != np.uint16:
        raise ValueError(f"codes are {codes.dtype}, expected uint16")
    weights = check_weights(codes, weights)
    return _sum(np.ascontiguousarray(codes), _lit(weights), weights, out)


def check_weights(images: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weights as an array, refused with a ValueError unless they fit images (L, H, W, 3) and are finite."""
    weights = np.asarray(weights)
    if images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images have shape {images.shape}, expected (lights, height, width, 3)")
    if weights.ndim not in (2, 3) or weights.shape[-2:] != (len(images), 3):
        raise ValueError(f"weights have shape {weights.shape}, expected ({len(images)}, 3) or (K, {len(images)}, 3)")
    if not np.isfinite(weights).all():
        raise ValueError("weights hold values that are not finite")
    return weights


def _lit(weights: np.ndarray) -> np.ndarray:
    """Numbers of the lights that are in any lighting."""
    return np.flatnonzero(np.any(weights != 0, axis=(0, 2) if weights.ndim == 3 else 1))


def result_array(images: np.ndarray, weights: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """Memory for the result, (H, W, 3) or (K, H, W, 3): ``out``, or a TypeError or ValueError if that does not fit."""
    shape = (*weights.shape[:-2], *images.shape[1:])
    if out is None:
        return empty_array(shape, np.float32)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}, expected a float32 array of shape {shape}")
    if out.shape != shape or out.dtype != np.float32:
        raise ValueError(f"out is {out.dtype} of shape {out.shape}, expected float32 of shape {shape}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError("out is not contiguous or cannot be written to; give an array of np.empty")
    if np.may_share_memory(out, images):
        raise ValueError("out lies in the memory of the images, which would be written over")
    return out


def _sum(images: np.ndarray, lit: np.ndarray, weights: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """One or many lightings of contiguous images, float32 or codes."""
    out = result_array(images, weights, out)
    weights = np.ascontiguousarray(weights[..., lit, :], np.float32)
    if weights.ndim == 2:
        _sum_one(images, lit, weights, out)
    elif len(weights) == 1:
        _sum_one(images, lit, weights[0], out[0])
    else:
        _sum_batch(images, lit, weights, out)
    return out


def _sum_one(images: np.ndarray, lit: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """Stream through the images once, in blocks shared among threads (the kernel frees the lock)."""
    from olatkit.render.kernels import add_weighted, add_weighted_codes

    flat, coded = images.reshape(len(images), -1), images.dtype == np.uint16
    sums = out.reshape(-1)
    sums.fill(0)
    tiles = np.tile(weights, TILE // 3)
    whole = len(sums) - len(sums) % TILE
    add = add_weighted_codes if coded else add_weighted
    in_threads(lambda start, stop: add(flat, lit, tiles, sums, start, stop), whole, BLOCK)
    if whole < len(sums):
        rest = flat[lit, whole:]
        sums[whole:] = (tiles[:, : len(sums) - whole] * (decode(rest) if coded else rest)).sum(axis=0)


def _sum_batch(images: np.ndarray, lit: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """Many lightings: matrix products of weights and of pixels, which are gathered in panels."""
    from olatkit.render.panels import PANEL, group_weights, sum_lightings

    flat, groups = images.reshape(len(images), -1, 3), group_weights(weights)
    sums = out.reshape(len(out), flat.shape[1], 3)
    block = -(-flat.shape[1] // (SHARES * PANEL)) * PANEL
    in_threads(lambda start, stop: sum_lightings(flat, lit, groups, sums, start, stop), flat.shape[1], block)


def in_threads(work: Callable[[int, int], None], length: int, block: int) -> None:
    """Call ``work(start, stop)`` for every block of a range, several at a time."""
    starts = range(0, length, block)
    with ThreadPoolExecutor(_threads(len(starts))) as pool:
        list(pool.map(lambda start: work(start, min(start + block, length)), starts))


def _threads(tasks: int) -> int:
    """Threads for a sum that memory limits: a few are as fast as many."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(tasks, cores, 8))
