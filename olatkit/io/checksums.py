"""A checksum that keeps up with the codec: every chunk of a shard has one, and each read checks it."""

import numba
import numpy as np

_PRIME = 0x9E3779B97F4A7C15  # odd, so that multiplying by it loses nothing


def checksum(data: np.ndarray) -> int:
    """64-bit checksum of contiguous uint8 data; it differs for certain if a single 8-byte word differs.

    Notes
    -----
    Eight lanes of little-endian words, ``lane = (lane ^ word) * odd constant mod 2**64`` as in the Fowler-Noll-Vo
    hash; the lanes and the length are then folded in the same way. Each step is a bijection of the lane, so that a
    change of one word always reaches the result. It guards against decay, not against forgery.
    """
    return int(_fold(data, np.uint64(_PRIME)))


@numba.njit(cache=True, nogil=True)
def _fold(data, prime):
    whole = data.size // 64 * 64
    words, rest = data[:whole].view(np.uint64).reshape(-1, 8), np.zeros(64, np.uint8)
    rest[: data.size - whole] = data[whole:]
    a = b = c = d = e = f = g = h = prime
    for i in range(len(words)):
        a = (a ^ words[i, 0]) * prime
        b = (b ^ words[i, 1]) * prime
        c = (c ^ words[i, 2]) * prime
        d = (d ^ words[i, 3]) * prime
        e = (e ^ words[i, 4]) * prime
        f = (f ^ words[i, 5]) * prime
        g = (g ^ words[i, 6]) * prime
        h = (h ^ words[i, 7]) * prime
    out = np.uint64(data.size)
    for lane in (a, b, c, d, e, f, g, h):
        out = (out ^ lane) * prime
        out ^= out >> np.uint64(32)
    for word in rest.view(np.uint64):
        out = (out ^ word) * prime
        out ^= out >> np.uint64(32)
    return out
