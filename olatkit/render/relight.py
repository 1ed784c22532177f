"""The OLAT sum: a picture under any lighting is the weighted sum of the pictures under each light.

Light adds up, so this is exact for whatever the lights can reproduce, and it needs an imageset. It is not
``olatkit relight``, the network that changes the light in an ordinary video.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from olatkit.imageset import Imageset

# Floats per tile: whole RGB pixels, and a whole number of vector registers. The weights of a tile stay in registers.
TILE = 48
# Floats of the picture that one pass over the lights completes: 192 kB, which stays in the second-level cache.
BLOCK = 1024 * TILE
# Pixels that a batch of lightings unpacks into planes at once: 114 lights fill 11 MB.
BATCH_PIXELS = 8192
# Fewer lightings than this are summed one after the other: unpacking the planes would take longer.
FEW = 5


def relight(imageset: Imageset | np.ndarray, weights: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """Sum the images of all lights, each times its weight: the OLAT sum, not the network of ``olatkit relight``.

    Parameters
    ----------
    imageset : Imageset or ndarray, shape (L, H, W, 3)
        Linear images, one per light.
    weights : ndarray, shape (L, 3) or (K, L, 3)
        Per light and channel [sr x radiance], as from ``light_weights``; K lightings in one pass over the images.
    device : str
        "cpu", or a torch device such as "cuda".

    Returns
    -------
    ndarray, shape (H, W, 3) or (K, H, W, 3), float32
        Linear, no exposure, nothing clipped.

    Raises
    ------
    ValueError
        The number of lights differs, or weights are not finite.

    Notes
    -----
    ``I[p, c] = sum_l w[l, c] O[l, p, c]`` in float32 (Debevec et al., Acquiring the Reflectance Field of a Human
    Face, SIGGRAPH 2000, doi:10.1145/344779.344855). Lights whose weights are zero are not read, and a single
    weight of 1 returns that light's image bit for bit. One lighting takes little more than one reading of the
    images from memory.
    """
    images = imageset.radiance if isinstance(imageset, Imageset) else np.asarray(imageset)
    weights = np.asarray(weights)
    if images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images have shape {images.shape}, expected (lights, height, width, 3)")
    if weights.ndim not in (2, 3) or weights.shape[-2:] != (len(images), 3):
        raise ValueError(f"weights have shape {weights.shape}, expected ({len(images)}, 3) or (K, {len(images)}, 3)")
    if not np.isfinite(weights).all():
        raise ValueError("weights hold values that are not finite")
    lit = np.flatnonzero(np.any(weights != 0, axis=(0, 2) if weights.ndim == 3 else 1))
    weights = np.ascontiguousarray(weights[..., lit, :], np.float32)
    if device != "cpu":
        return _relight_torch(images[lit] if len(lit) < len(images) else images, weights, device)
    images = np.ascontiguousarray(images, np.float32)
    if weights.ndim == 2:
        return _sum_one(images, lit, weights)
    if len(weights) < FEW:
        return np.array([_sum_one(images, lit, one) for one in weights]).reshape(-1, *images.shape[1:])
    return _sum_batch(images, lit, weights)


def _sum_one(images: np.ndarray, lit: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One lighting: stream through the images once, in blocks shared among threads (the kernel frees the lock)."""
    from olatkit.render.kernels import add_weighted

    flat = images.reshape(len(images), -1)
    out = np.zeros(flat.shape[1], np.float32)
    tiles = np.tile(weights, TILE // 3)
    whole = len(out) - len(out) % TILE
    starts = range(0, whole, BLOCK)
    with ThreadPoolExecutor(_threads(len(starts))) as pool:
        list(pool.map(lambda start: add_weighted(flat, lit, tiles, out, start, min(start + BLOCK, whole)), starts))
    if whole < len(out):
        rest = tiles[:, : len(out) - whole]
        out[whole:] = (rest * flat[lit, whole:]).sum(axis=0)
    return out.reshape(images.shape[1:])


def _sum_batch(images: np.ndarray, lit: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Many lightings: unpack blocks of pixels into colour planes, one matrix product per plane."""
    from olatkit.render.kernels import unpack_planes

    flat = images.reshape(len(images), -1, 3)
    per_channel = np.ascontiguousarray(weights.transpose(2, 0, 1))
    out = np.empty((len(weights), flat.shape[1], 3), np.float32)
    planes = np.empty((3, len(lit), BATCH_PIXELS), np.float32)
    for start in range(0, flat.shape[1], BATCH_PIXELS):
        stop = min(start + BATCH_PIXELS, flat.shape[1])
        unpack_planes(flat, lit, start, stop, planes)
        out[:, start:stop] = (per_channel @ planes[..., : stop - start]).transpose(1, 2, 0)
    return out.reshape(len(weights), *images.shape[1:])


def _relight_torch(images: np.ndarray, weights: np.ndarray, device: str) -> np.ndarray:
    """The same sum on a torch device, one matrix product per channel."""
    import torch

    stack = torch.from_numpy(np.ascontiguousarray(images, np.float32)).to(device)
    factors = torch.from_numpy(weights).to(device).reshape(-1, *weights.shape[-2:])
    pixels = stack.reshape(len(stack), -1, 3)
    planes = [factors[:, :, channel] @ pixels[:, :, channel] for channel in range(3)]
    out = torch.stack(planes, dim=-1).reshape(*weights.shape[:-2], *images.shape[1:])
    return out.cpu().numpy()


def _threads(tasks: int) -> int:
    """Threads for a sum that memory limits: a few are as fast as many."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(tasks, cores, 8))
