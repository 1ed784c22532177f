"""The OLAT sum: a picture under any lighting is the weighted sum of the pictures under each light.

Light adds up, so this is exact for whatever the lights can reproduce, and it needs an imageset. It is not
``olatkit relight``, the network that changes the light in an ordinary video.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from olatkit.imageset import Imageset

# Floats per tile of weights: whole RGB pixels, and a whole number of vector registers.
TILE = 48
# Floats of the picture that one pass over the lights completes: 96 kB, which stays in the second-level cache. A few
# lightings share blocks so short that those of all lights stay in a cache.
BLOCK, SHARED_BLOCK = 512 * TILE, 48 * TILE
# The most lightings and the fewest pixels of one matrix product. OpenBLAS does a product of at most SMALL_PRODUCT
# multiplications in the calling thread; a larger one would start threads inside each of ours, which then wait for
# each other.
GROUP, PIXELS = 64, 32
SMALL_PRODUCT = 2**18
# Pixels that are unpacked at a time: long enough runs of every image for the processor to read ahead.
RUN = 1024
# Fewer lightings than this are summed from the images as they are: unpacking the planes would take longer.
FEW = 12


def relight(imageset: Imageset | np.ndarray, weights: np.ndarray, *, device: str = "cpu") -> np.ndarray:
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

    Returns
    -------
    ndarray, shape (H, W, 3) or (K, H, W, 3), float32
        Linear, no exposure, nothing clipped.

    Raises
    ------
    ValueError
        The number of lights differs, or weights are not finite.
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
    lit = np.flatnonzero(np.any(weights != 0, axis=(0, 2) if weights.ndim == 3 else 1))
    if device != "cpu":
        from olatkit.render.basis import LightingBasis

        return LightingBasis(images[lit], device=device).relight(weights[..., lit, :])
    weights = np.ascontiguousarray(weights[..., lit, :], np.float32)
    images = np.ascontiguousarray(images, np.float32)
    if weights.ndim == 2:
        return _sum_few(images, lit, weights[None])[0]
    return (_sum_few if len(weights) < FEW else _sum_batch)(images, lit, weights)


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


def _sum_few(images: np.ndarray, lit: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Stream through the images once, in blocks shared among threads (the kernel frees the lock)."""
    from olatkit.render.kernels import add_several

    count, flat = len(weights), images.reshape(len(images), -1)
    out = np.zeros((count, flat.shape[1]), np.float32)
    tiles = np.tile(weights, TILE // 3)
    whole = out.shape[1] - out.shape[1] % TILE
    block = BLOCK if count == 1 else SHARED_BLOCK
    in_threads(lambda start, stop: add_several(flat, lit, tiles, out, start, stop, block), whole, BLOCK)
    if whole < out.shape[1]:
        rest = tiles[:, :, : out.shape[1] - whole]
        out[:, whole:] = (rest * flat[lit, whole:]).sum(axis=1)
    return out.reshape(count, *images.shape[1:])


def _sum_batch(images: np.ndarray, lit: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Many lightings: unpack runs of pixels into colour planes, one small matrix product per plane and group."""
    from olatkit.render.kernels import sum_lightings

    count, lights = len(weights), max(len(lit), 1)
    groups = -(-count // max(min(GROUP, SMALL_PRODUCT // (lights * PIXELS)), 1))
    group = -(-count // groups)
    padded = np.zeros((groups * group, len(lit), 3), np.float32)
    padded[:count] = weights
    factors = np.ascontiguousarray(padded.reshape(groups, group, -1, 3).transpose(0, 3, 1, 2))
    step = int(np.clip(SMALL_PRODUCT // (group * lights) // 16 * 16, 16, 256))
    flat = images.reshape(len(images), -1, 3)
    out = np.empty((count, flat.shape[1], 3), np.float32)
    in_threads(
        lambda start, stop: sum_lightings(flat, lit, factors, out, start, stop, (RUN // step, step)), flat.shape[1],
        int(np.clip(flat.shape[1] // 16, RUN, 16 * RUN)),  # long tasks: each makes its planes once
    )
    return out.reshape(count, *images.shape[1:])


def in_threads(work: Callable[[int, int], None], length: int, block: int) -> None:
    """Call ``work(start, stop)`` for every block of a range, several at a time."""
    starts = range(0, length, block)
    with ThreadPoolExecutor(_threads(len(starts))) as pool:
        list(pool.map(lambda start: work(start, min(start + block, length)), starts))


def _threads(tasks: int) -> int:
    """Threads for a sum that memory limits: a few are as fast as many."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(tasks, cores, 8))
