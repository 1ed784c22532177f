"""Compiled loops of the OLAT sum. They import numba: load this module where pictures are made, not at start-up."""

import numba

# Products and sums may be fused and reordered within a group of eight lights.
REORDER = {"contract", "nsz", "reassoc"}


@numba.njit(cache=True, nogil=True, fastmath=REORDER)
def add_weighted(images, lit, tiles, out, start, stop):
    """Add to ``out[start:stop]`` every image of ``lit`` times its tile of weights, eight lights per pass.

    ``images`` is (L, N), ``tiles`` (len(lit), T) with T dividing stop - start; ``out`` is (N,).
    """
    width = 48  # a constant, so that the compiler keeps the weights of a tile in registers; tiles have this width
    block = out[start:stop].reshape(-1, width)
    n = len(lit)
    for i in range(0, n - n % 8, 8):
        a, b, c, d = (_rows(images[lit[i]], start, stop), _rows(images[lit[i + 1]], start, stop),
                      _rows(images[lit[i + 2]], start, stop), _rows(images[lit[i + 3]], start, stop))
        e, f, g, h = (_rows(images[lit[i + 4]], start, stop), _rows(images[lit[i + 5]], start, stop),
                      _rows(images[lit[i + 6]], start, stop), _rows(images[lit[i + 7]], start, stop))
        w = tiles[i : i + 8]
        for k in range(len(block)):
            for j in range(48):
                block[k, j] += ((w[0, j] * a[k, j] + w[1, j] * b[k, j]) + (w[2, j] * c[k, j] + w[3, j] * d[k, j])
                                + (w[4, j] * e[k, j] + w[5, j] * f[k, j]) + (w[6, j] * g[k, j] + w[7, j] * h[k, j]))
    for i in range(n - n % 8, n):
        a = _rows(images[lit[i]], start, stop)
        for k in range(len(block)):
            for j in range(48):
                block[k, j] += tiles[i, j] * a[k, j]


@numba.njit(cache=True, nogil=True, inline="always")
def _rows(image, start, stop):
    """A stretch of one flat image as rows of a tile each."""
    return image[start:stop].reshape(-1, 48)


@numba.njit(cache=True, nogil=True)
def unpack_planes(images, lit, start, stop, planes):
    """Copy pixels ``start`` to ``stop`` of (L, P, 3) images into ``planes`` (3, len(lit), at least stop - start)."""
    for i in range(len(lit)):
        source = images[lit[i], start:stop]
        red, green, blue = planes[0, i], planes[1, i], planes[2, i]
        for p in range(len(source)):
            red[p], green[p], blue[p] = source[p, 0], source[p, 1], source[p, 2]
