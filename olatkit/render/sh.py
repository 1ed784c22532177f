"""Real spherical harmonics of environment maps.

Coefficient ``l² + l + m`` belongs to Y_lm, for degrees l from 0 to the order and m from -l to l; an order has
(order + 1)² of them: 9 for order 2, 25 for order 4. The basis is orthonormal over the sphere, its polar axis is +Z, and
no Condon-Shortley phase is used: Y_1,-1, Y_1,0 and Y_1,1 are +0.4886 times y, z and x of the direction, in this package's
axes. That is the form of Ramamoorthi and Hanrahan (2001). Other conventions differ by signs and axes only.
"""

from math import factorial

import numpy as np

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import fibonacci_directions, latlong_directions

CONVENTION = "real, orthonormal, index l*l+l+m, polar axis +Z (to the camera), no Condon-Shortley phase"
# Nodes of the quadrature over the polar angle in a map row; with so many, even one row of the whole sphere is exact.
NODES = 20


def sh_basis(directions: np.ndarray, order: int) -> np.ndarray:
    """Y_lm in unit directions (..., 3), shape (..., (order + 1)²), float64."""
    x, y, z = np.moveaxis(np.asarray(directions, float), -1, 0)
    return _basis(z, np.arctan2(y, x), order)


def project_sh(environment: EnvironmentMap, order: int) -> np.ndarray:
    """Coefficients ∫ E Y_lm dω of a map's radiance.

    Parameters
    ----------
    environment : EnvironmentMap
        Constant over each of its pixels.
    order : int
        Largest degree, 0 or more.

    Returns
    -------
    ndarray, shape ((order + 1)², 3), float64
        Exact for any size of the map, to rounding: pixels are integrated, not sampled at their centres.

    Notes
    -----
    About the map's own polar axis, +Y, the integral falls apart into azimuth (closed form) and polar angle
    (Gauss-Legendre). The result is then turned to the polar axis +Z.
    """
    height, width = environment.shape
    polar, azimuth = _row_integrals(height, order), _column_integrals(width, order)
    radiance = environment.radiance.astype(np.float64)
    own = np.empty(((order + 1) ** 2, 3))
    for degree, m in _indices(order):
        k = degree * degree + degree + m
        own[k] = polar[:, k] @ np.tensordot(radiance, azimuth[:, order + m], axes=(1, 0))
    # In a map's own frame its pole is z and its azimuth runs from +Z to +X: (x, y, z) there is (z, x, y) of the world.
    return rotate_sh(own, np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]))


def rotate_sh(coefficients: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Coefficients of a turned function: f'(ω) = f(Rᵀω), for (K, ...) coefficients and a rotation matrix (3, 3)."""
    order = order_of(coefficients)
    points = fibonacci_directions(4 * len(coefficients), 0)
    turned = np.linalg.lstsq(sh_basis(points, order), sh_basis(points @ rotation, order), rcond=None)[0]
    return np.tensordot(turned, coefficients, axes=1)


def evaluate_sh(coefficients: np.ndarray, height: int, width: int) -> np.ndarray:
    """The lat-long picture (height, width, 3) of coefficients (K, 3); a truncated series may be negative in places."""
    basis = sh_basis(latlong_directions(height, width), order_of(coefficients))
    return (basis @ np.asarray(coefficients, float)).astype(np.float32)


def order_of(coefficients: np.ndarray) -> int:
    """Order of (K, ...) coefficients; ValueError if K is no square number."""
    order = round(len(coefficients) ** 0.5) - 1
    if (order + 1) ** 2 != len(coefficients) or order < 0:
        raise ValueError(f"{len(coefficients)} coefficients belong to no order, expected 1, 4, 9, 16, 25 ...")
    return order


def _indices(order: int) -> list[tuple[int, int]]:
    """All (l, m) in the order of the coefficients."""
    return [(degree, m) for degree in range(order + 1) for m in range(-degree, degree + 1)]


def _basis(cosine: np.ndarray, azimuth: np.ndarray, order: int) -> np.ndarray:
    """Y_lm from the cosine of the polar angle and the azimuth."""
    out = np.empty((*np.broadcast_shapes(np.shape(cosine), np.shape(azimuth)), (order + 1) ** 2))
    for degree, m in _indices(order):
        wave = np.cos(m * azimuth) if m >= 0 else np.sin(-m * azimuth)
        out[..., degree * degree + degree + m] = _legendre(cosine, degree, abs(m)) * wave
    return out


def _legendre(cosine: np.ndarray, degree: int, m: int) -> np.ndarray:
    """Associated Legendre function with the basis's norm and no Condon-Shortley phase."""
    from scipy.special import lpmv

    norm = (2 * degree + 1) / (4 * np.pi) * factorial(degree - m) / factorial(degree + m)
    return (-1) ** m * np.sqrt(norm * (2 if m else 1)) * lpmv(m, degree, cosine)


def _row_integrals(height: int, order: int) -> np.ndarray:
    """∫ P_l|m|(cosθ) sinθ dθ over every row, shape (height, K)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    theta = np.pi / height * (np.arange(height)[:, None] + 0.5 + nodes / 2)
    out = np.empty((height, (order + 1) ** 2))
    for degree, m in _indices(order):
        values = _legendre(np.cos(theta), degree, abs(m)) * np.sin(theta)
        out[:, degree * degree + degree + m] = values @ weights * np.pi / (2 * height)
    return out


def _column_integrals(width: int, order: int) -> np.ndarray:
    """∫ cos(mα) dα, or sin(-mα) for negative m, over every column, shape (width, 2 order + 1)."""
    # Azimuth from +Z towards +X: φ = π(2u - 1) is measured from -Z, so α = π - φ = 2π(1 - u), falling with u.
    edges = 2 * np.pi * (1 - np.arange(width + 1) / width)
    high, low = edges[:-1], edges[1:]
    out = np.empty((width, 2 * order + 1))
    for m in range(-order, order + 1):
        if m == 0:
            out[:, order] = high - low
        elif m > 0:
            out[:, order + m] = (np.sin(m * high) - np.sin(m * low)) / m
        else:
            out[:, order + m] = (np.cos(-m * low) - np.cos(-m * high)) / -m
    return out
