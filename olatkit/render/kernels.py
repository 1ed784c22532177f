"""Compiled loops of the OLAT sum and of display codes. They import numba: load this module where pictures are made."""

import numba
import numpy as np

from olatkit.io.codes import BLACK, OFFSET, SCALE

# Products and sums may be fused and reordered within a group of eight lights.
REORDER = {"contract", "nsz", "reassoc"}


@numba.njit(cache=True, nogil=True, fastmath=REORDER)
def add_weighted(images, lit, tiles, out, start, stop):
    """Add to ``out[start:stop]`` every image of ``lit`` times its tile of weights, eight lights per pass.

    ``images`` is (L, N), ``tiles`` (len(lit), 48) with 48 dividing stop - start; ``out`` is (N,).
    """
    part = out[start:stop]
    n = len(lit)
    for i in range(0, n - n % 8, 8):
        a, b, c, d = (images[lit[i], start:stop], images[lit[i + 1], start:stop],
                      images[lit[i + 2], start:stop], images[lit[i + 3], start:stop])
        e, f, g, h = (images[lit[i + 4], start:stop], images[lit[i + 5], start:stop],
                      images[lit[i + 6], start:stop], images[lit[i + 7], start:stop])
        w = tiles[i : i + 8]
        for k in range(0, len(part), 48):
            for j in range(48):  # a constant, so that the compiler unrolls it into whole vectors
                p = k + j
                part[p] += ((w[0, j] * a[p] + w[1, j] * b[p]) + (w[2, j] * c[p] + w[3, j] * d[p])
                            + (w[4, j] * e[p] + w[5, j] * f[p]) + (w[6, j] * g[p] + w[7, j] * h[p]))
    for i in range(n - n % 8, n):
        a = images[lit[i], start:stop]
        for k in range(0, len(part), 48):
            for j in range(48):
                part[k + j] += tiles[i, j] * a[k + j]


_BLACK, _BEND, _SHARE = np.float32(BLACK), np.float32(2 * SCALE * OFFSET**0.5), np.float32(1 / SCALE**2)


@numba.njit(cache=True, nogil=True, fastmath=REORDER)
def add_weighted_codes(codes, lit, tiles, out, start, stop):
    """As :func:`add_weighted`, for uint16 codes (L, N) of :mod:`olatkit.io.codes`, four lights per pass.

    A code d above black is d (|d| + 2 SCALE sqrt(OFFSET)) / SCALE^2: computed, since vectors know no table.
    """
    part, tiles = out[start:stop], tiles * _SHARE
    n = len(lit)
    for i in range(0, n - n % 4, 4):
        a, b, c, d = (codes[lit[i], start:stop], codes[lit[i + 1], start:stop],
                      codes[lit[i + 2], start:stop], codes[lit[i + 3], start:stop])
        w = tiles[i : i + 4]
        for k in range(0, len(part), 48):
            for j in range(48):
                p = k + j
                e, f = np.float32(a[p]) - _BLACK, np.float32(b[p]) - _BLACK
                g, h = np.float32(c[p]) - _BLACK, np.float32(d[p]) - _BLACK
                part[p] += ((w[0, j] * (e * (abs(e) + _BEND)) + w[1, j] * (f * (abs(f) + _BEND)))
                            + (w[2, j] * (g * (abs(g) + _BEND)) + w[3, j] * (h * (abs(h) + _BEND))))
    for i in range(n - n % 4, n):
        a = codes[lit[i], start:stop]
        for k in range(0, len(part), 48):
            for j in range(48):
                e = np.float32(a[k + j]) - _BLACK
                part[k + j] += tiles[i, j] * (e * (abs(e) + _BEND))


@numba.njit(cache=True, nogil=True)
def join_bfloat16(red, green, blue, out, start):
    """Fill pixels from ``start`` on of ``out`` (K, P, 3) float32 with three planes (K, n) of bfloat16, as uint16.

    A bfloat16 is the upper half of a float32.
    """
    half = np.uint32(16)
    for k in range(len(red)):
        target = out[k, start : start + red.shape[1]].view(np.uint32)
        for p in range(red.shape[1]):
            target[p, 0] = np.uint32(red[k, p]) << half
            target[p, 1] = np.uint32(green[k, p]) << half
            target[p, 2] = np.uint32(blue[k, p]) << half


@numba.njit(cache=True, nogil=True)
def codes_of(values, factor, steps, guess, out):
    """8-bit codes of flat float32 ``values`` times ``factor``: how many of the rising ``steps`` each reaches.

    ``guess`` (65536,) is the code of every float32 with its lower 16 bits cut off, at most two steps too low;
    ``steps`` (256,) ends with NaN, which nothing reaches. Without branches, since pictures do not repeat.
    """
    for i in range(values.size):
        x = np.float32(values[i] * factor)
        code = np.int64(guess[x.view(np.uint32) >> np.uint32(16)])
        code += x >= steps[code]
        code += x >= steps[code]
        out[i] = code
