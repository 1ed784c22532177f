"""Values known at some pixels spread over the others along the colours of a picture: the matting Laplacian."""

from collections.abc import Callable
from typing import Any

import numpy as np

from olatkit.errors import ConfigError

Solver = Callable[[np.ndarray], np.ndarray]

# Far below what a matte of 8 bits can show; and an end to hard systems, whose last estimate is good enough.
_TOLERANCE, _MOST_STEPS = 1e-4, 500


def spread(image_srgb: np.ndarray, values: np.ndarray, free: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fill free pixels so that every small window's values are as linear in its colours as they can be.

    Parameters
    ----------
    image_srgb : ndarray, shape (H, W, 3), uint8
        The picture.
    values : ndarray, shape (K, H, W)
        K layers, 0 to 1: known where pixels are not free, guesses where they are.
    free : ndarray of bool, shape (H, W)
        Pixels to be found.
    weight : ndarray, shape (H, W)
        How much the guess at a free pixel counts, 0 or more.

    Returns
    -------
    ndarray, shape (K, H, W), float32
        Every layer v with the least vᵀLv + Σ w (v - guess)² over the free pixels, L the matting Laplacian.

    Raises
    ------
    ConfigError
        pymatting is not installed.

    References
    ----------
    Levin, Lischinski and Weiss, "A closed-form solution to natural image matting", IEEE TPAMI 30(2), 2008,
    doi:10.1109/TPAMI.2007.1177. Germer, Uelwer, Conrad and Harmeling, "PyMatting: a Python library for alpha matting",
    JOSS 5(54), 2020, doi:10.21105/joss.02481.
    """
    try:
        from pymatting import cf_laplacian
    except ImportError as error:
        raise ConfigError("mattes need pymatting: pip install pymatting") from error
    from scipy.sparse import diags

    out = values.astype(np.float32)
    inner, held = free.ravel(), ~free.ravel()
    if not inner.any():
        return out
    laplacian = cf_laplacian(image_srgb / 255.0, epsilon=1e-5, is_known=held).tocsr()[inner]
    pull = weight.ravel()[inner].astype(np.float64) + 1e-8
    system = (laplacian[:, inner] + diags(pull)).tocsc()
    precondition = _preconditioner(system)
    for layer in out.reshape(len(out), -1):
        guess = layer[inner].astype(np.float64)
        known = pull * guess - laplacian[:, held] @ layer[held].astype(np.float64)
        layer[inner] = np.clip(_solve(system, known, guess, precondition), 0, 1)
    return out


def _solve(system: Any, known: np.ndarray, guess: np.ndarray, precondition: Solver) -> np.ndarray:
    """Preconditioned conjugate gradients from a guess.

    Not SciPy's: its scalar products are those of BLAS, which wakes threads for them and whose sums depend on how many
    there are.
    """
    found, rest = guess.copy(), known - system @ guess
    enough = _TOLERANCE**2 * _product(known, known)
    way, before = np.zeros_like(rest), 1.0
    for _ in range(_MOST_STEPS):
        if _product(rest, rest) <= enough:
            break
        bent = precondition(rest)
        now = _product(rest, bent)
        way = bent + now / before * way
        moved = system @ way
        step = now / _product(way, moved)
        found += step * way
        rest -= step * moved
        before = now
    return found


def _product(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.einsum("i,i->", a, b))


def _preconditioner(system: Any) -> Solver:
    """Incomplete Cholesky factors, or the diagonal where they break down."""
    from pymatting import ichol

    diagonal = system.diagonal()
    try:
        # The shift keeps the factors of nearly singular systems positive; memory grows with the pixels only.
        return ichol(system, discard_threshold=1e-3, shifts=(0.01, 0.1, 1.0), max_nnz=60 * system.shape[0])
    except ValueError:
        return lambda rest: rest / diagonal
