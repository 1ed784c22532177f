"""Compiled loops of photometric stereo. They import numba: load this module where normals are made."""

import numba
import numpy as np

# Robust steps: lights that see the surface at less than this cosine are left out, and a residual beyond this share of
# the albedo counts less the larger it is.
GRAZING, RESIDUAL = 0.1, 0.05


@numba.njit(cache=True, nogil=True)
def _solve(directions, values, weights, out):
    """Weighted least squares of values = directions · out; False if the lights lie in a plane."""
    a, b, c, e, f, g = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    p, q, r = 0.0, 0.0, 0.0
    for i in range(len(values)):
        w = weights[i]
        if w == 0:
            continue
        dx, dy, dz = directions[i]
        a += w * dx * dx
        b += w * dx * dy
        c += w * dx * dz
        e += w * dy * dy
        f += w * dy * dz
        g += w * dz * dz
        p += w * dx * values[i]
        q += w * dy * values[i]
        r += w * dz * values[i]
    # The inverse of a symmetric 3x3 matrix by its cofactors.
    ca, cb, cc = e * g - f * f, c * f - b * g, b * f - c * e
    det = a * ca + b * cb + c * cc
    if not abs(det) > 1e-9 * (a + e + g) ** 3:
        return False
    out[0] = (ca * p + cb * q + cc * r) / det
    out[1] = (cb * p + (a * g - c * c) * q + (b * c - a * f) * r) / det
    out[2] = (cc * p + (b * c - a * f) * q + (a * e - b * b) * r) / det
    return out[0] ** 2 + out[1] ** 2 + out[2] ** 2 > 0


@numba.njit(cache=True, nogil=True)
def _reweigh(directions, values, x, weights):
    """Weights of a robust step from the residuals of a fit ``x``."""
    size = np.sqrt(x[0] ** 2 + x[1] ** 2 + x[2] ** 2)
    for i in range(len(values)):
        expected = directions[i, 0] * x[0] + directions[i, 1] * x[1] + directions[i, 2] * x[2]
        residual = abs(values[i] - expected) / (RESIDUAL * size)
        weights[i] = 0.0 if expected < GRAZING * size else 1 / max(residual, 1.0) ** 2


@numba.njit(cache=True, nogil=True)
def fit_rows(images, lit, directions, mask, low, high, steps, start, stop, normals, albedo):
    """Fill rows of ``normals`` and ``albedo`` (H, W, 3) from ``images`` (L, H, W, 3).

    Of the lights ``lit``, sorted by a pixel's grey value, those from rank ``low`` to ``high`` - 1 are fitted; then
    ``steps`` robust steps weigh all lights by how well they fit.
    """
    width, count = images.shape[2], len(lit)
    grey, weights = np.empty((width, count), np.float32), np.empty(count)
    x, last = np.empty(3), np.empty(count)
    for row in range(start, stop):
        for i in range(count):
            line = images[lit[i], row]
            for column in range(width):
                grey[column, i] = (line[column, 0] + line[column, 1] + line[column, 2]) / 3
        for column in range(width):
            if not mask[row, column]:
                continue
            values = grey[column]
            weights[:] = 0
            weights[np.argsort(values)[low:high]] = 1
            if not _solve(directions, values, weights, x):
                continue
            for _ in range(steps):
                last[:] = weights
                _reweigh(directions, values, x, weights)
                if not _solve(directions, values, weights, x):
                    weights[:] = last
                    _solve(directions, values, weights, x)
                    break
            x /= np.sqrt(x[0] ** 2 + x[1] ** 2 + x[2] ** 2)
            square = 0.0
            for i in range(count):
                cosine = max(x[0] * directions[i, 0] + x[1] * directions[i, 1] + x[2] * directions[i, 2], 0.0)
                square += weights[i] * cosine * cosine
                for k in range(3):
                    albedo[row, column, k] += weights[i] * cosine * images[lit[i], row, column, k]
            for k in range(3):
                normals[row, column, k] = x[k]
                albedo[row, column, k] = max(albedo[row, column, k] / square, 0.0) if square > 0 else 0.0


@numba.njit(cache=True, nogil=True)
def split_rows(images, lit, directions, weights, areas, normals, albedo, start, stop, specular, occlusion):
    """Fill rows of ``specular`` (H, W, 3) and ``occlusion`` (H, W): light above the diffuse fit, share of open sky."""
    width, count = images.shape[2], len(lit)
    open_sky, sky = np.empty(width), np.empty(width)
    for y in range(start, stop):
        open_sky[:] = 0
        sky[:] = 0
        for i in range(count):
            row = images[lit[i], y]
            dx, dy, dz = directions[i]
            for x in range(width):
                cosine = normals[y, x, 0] * dx + normals[y, x, 1] * dy + normals[y, x, 2] * dz
                seen, expected = 0.0, 0.0
                for k in range(3):
                    diffuse = albedo[y, x, k] * max(cosine, 0.0)
                    specular[y, x, k] += weights[i, k] * max(row[x, k] - diffuse, 0.0)
                    seen += row[x, k]
                    expected += diffuse
                if cosine > 0.1:
                    sky[x] += areas[i] * cosine
                    if seen > 0.15 * expected:
                        open_sky[x] += areas[i] * cosine
        for x in range(width):
            occlusion[y, x] = open_sky[x] / sky[x] if sky[x] > 0 else 0.0
