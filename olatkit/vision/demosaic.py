"""Bayer mosaic to linear RGB by linear minimum-mean-square-error filters (co-kriging).

Each output value is a fixed weighted sum of a 7x7 patch of the mosaic. The weights minimise the expected squared
error for a field whose three channels share most of their variation, seen through a lens of Gaussian blur
``blur_px`` with white noise, under the constraint that a flat patch of any colour is reproduced exactly. The
filters are therefore linear in light, keep the mean of every channel, and need no training images.

References
----------
Trussell and Hartwig, "Mathematics for demosaicking", IEEE Trans. Image Processing 11(4), 2002,
doi:10.1109/TIP.2002.999681 (linear minimum-mean-square-error view). Malvar, He and Cutler, "High-quality linear
interpolation for demosaicing of Bayer-patterned color images", ICASSP 2004, doi:10.1109/ICASSP.2004.1326587.
"""

from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np

RADIUS = 3
PAD = 4  # at least the radius; even, so that a padded picture has the same colour phases
_CHANNEL = {"r": 0, "g": 1, "b": 2}
PATTERNS = ("gbrg", "rggb", "grbg", "bggr")


@dataclass(frozen=True)
class DemosaicModel:
    """What the filters assume about pictures.

    Parameters
    ----------
    blur_px : float
        Standard deviation of the lens and optical low-pass blur, 0.3 to 1.
    noise : float
        Noise variance as a share of the signal variance inside a patch.
    chroma : float
        Variance of colour differences as a share of the common variation.
    color : tuple of 3 floats
        Typical root-mean-square of R, G and B relative to each other.
    length_px : float
        Correlation length of the common variation.
    """

    blur_px: float = 0.6
    noise: float = 1e-3
    chroma: float = 0.05
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    length_px: float = 10.0


def demosaic(mosaic: np.ndarray, bayer: str, model: DemosaicModel | None = None) -> np.ndarray:
    """Interpolate a Bayer mosaic to RGB.

    Parameters
    ----------
    mosaic : ndarray, shape (H, W), float32
        Linear, black subtracted; may be negative. H and W at least 8.
    bayer : str
        Colours of the top-left 2x2 pixels row by row: 'gbrg', 'rggb', 'grbg' or 'bggr'.
    model : DemosaicModel, optional
        Assumptions; the default suits a sensor with an optical low-pass filter.

    Returns
    -------
    ndarray, shape (H, W, 3), float32
        Linear RGB; linear in ``mosaic``.

    Raises
    ------
    ValueError
        Unknown pattern, wrong shape or an image smaller than the filters.
    """
    if mosaic.ndim != 2 or min(mosaic.shape) < 2 * RADIUS + 2:
        raise ValueError(
            f"mosaic has shape {mosaic.shape}, expected (height, width) of at least {2 * RADIUS + 2} pixels"
        )
    out = np.empty((*mosaic.shape, 3), np.float32)
    demosaic_into(np.ascontiguousarray(mosaic, np.float32), demosaic_filters(bayer, model or DemosaicModel()), out)
    return out


@lru_cache(maxsize=32)
def demosaic_filters(bayer: str, model: DemosaicModel) -> np.ndarray:
    """Filter weights, shape (4 phases, 3 outputs, 49), float32; phase = 2 (row % 2) + column % 2."""
    if bayer not in PATTERNS:
        raise ValueError(f"Bayer pattern {bayer!r} is unknown, expected one of {', '.join(PATTERNS)}")
    size = 2 * RADIUS + 1
    shared = _correlation(model)
    color = np.array(model.color, float)
    color = color / np.linalg.norm(color) * np.sqrt(3)
    cov_common = np.outer(color, color)
    cov_chroma = model.chroma * (1.5 * np.diag(color**2) - 0.5 * cov_common)
    dy, dx = (v.ravel() - RADIUS for v in np.mgrid[0:size, 0:size])
    gap = dy[:, None] - dy, dx[:, None] - dx
    filters = np.empty((4, 3, size * size))
    for phase in range(4):
        rows, columns = (phase // 2 + dy) % 2, (phase % 2 + dx) % 2
        channel = np.array([_CHANNEL[bayer[2 * r + c]] for r, c in zip(rows, columns, strict=True)])
        pair = channel[:, None], channel
        covariance = shared[gap] * (cov_common + cov_chroma)[pair] + model.noise * np.eye(size * size)
        # One constraint per colour: weights on it sum to 1 for its own output and to 0 for the others.
        constraint = (channel[:, None] == np.arange(3)).astype(float)
        system = np.block([[covariance, constraint], [constraint.T, np.zeros((3, 3))]])
        for out in range(3):
            target = shared[dy, dx] * (cov_common + cov_chroma)[channel, out]
            filters[phase, out] = np.linalg.solve(system, np.r_[target, np.eye(3)[out]])[: size * size]
    result = filters.astype(np.float32)
    result.setflags(write=False)
    return result


def _correlation(model: DemosaicModel) -> np.ndarray:
    """Correlation of a 1/f-like field through the lens, as a periodic table indexed by (dy, dx)."""
    n = 128
    fy, fx = np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n), indexing="ij")
    squared = fy**2 + fx**2
    spectrum = (squared + 1 / (2 * np.pi * model.length_px) ** 2) ** -1.5
    spectrum *= np.exp(-4 * np.pi**2 * model.blur_px**2 * squared)
    table = np.fft.ifft2(spectrum).real
    return table / table[0, 0]


@numba.njit(cache=True, nogil=True, fastmath=True)
def demosaic_into(mosaic, filters, out):
    """Filter ``mosaic`` (H, W) into ``out`` (H, W, >= 3); borders are mirrored, which keeps the colour phases.

    Around every pixel the mosaic's colours and the field are symmetric, left to right and top to bottom, and so are the
    filters: rows and columns at equal distances are added first, which leaves 16 products of 49 per output.
    """
    height, width = mosaic.shape
    split = _split_columns(mosaic)
    folded = np.empty(split.shape[1:], np.float32)
    acc = np.empty((2, 3, (width + 1) // 2), np.float32)
    for y in range(height):
        acc[:] = 0
        for dy in range(RADIUS + 1):
            above, below = split[y + PAD - dy], split[y + PAD + dy]
            for parity in range(2):
                for i in range(folded.shape[1]):
                    folded[parity, i] = above[parity, i] + below[parity, i] if dy else above[parity, i]
            for parity in range(2):
                taps = filters[2 * (y & 1) + parity, :, 7 * (RADIUS + dy) + RADIUS :]
                count = np.uint64((width + 1 - parity) // 2)
                _add_row(folded[parity], folded[1 - parity, parity:], taps, count, acc[parity])
        for x in range(width):
            for channel in range(3):
                out[y, x, channel] = acc[x & 1, channel, x >> 1]


@numba.njit(nogil=True)
def _split_columns(mosaic):
    """Rows (H + 8, 2, W / 2 + 4) of the mirrored mosaic, even and odd columns apart: every inner loop is contiguous."""
    height, width = mosaic.shape
    split = np.empty((height + 2 * PAD, 2, width // 2 + PAD), np.float32)
    for y in range(height + 2 * PAD):
        sy = abs(y - PAD)
        if sy >= height:
            sy = 2 * (height - 1) - sy
        for x in range(2 * split.shape[2]):
            sx = abs(x - PAD)
            if sx >= width:
                sx = 2 * (width - 1) - sx
            split[y, x & 1, x >> 1] = mosaic[sy, sx]
    return split


@numba.njit(nogil=True, fastmath=True)
def _add_row(own, other, taps, count, acc):
    """Add one (folded) row's part of the outputs (3, >= count) of every second pixel.

    ``own`` are the columns of the pixels' own parity, the first pixel's at 2; ``other`` the ones between, the neighbours
    of the first pixel at 1 and 2. ``taps`` (3, 4) are the weights by distance.
    """
    r0, r1, r2, r3 = taps[0, 0], taps[0, 1], taps[0, 2], taps[0, 3]
    g0, g1, g2, g3 = taps[1, 0], taps[1, 1], taps[1, 2], taps[1, 3]
    b0, b1, b2, b3 = taps[2, 0], taps[2, 1], taps[2, 2], taps[2, 3]
    red, green, blue = acc[0], acc[1], acc[2]
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    for i in range(count):
        at0 = own[i + two]
        at1 = other[i + one] + other[i + two]
        at2 = own[i + one] + own[i + three]
        at3 = other[i] + other[i + three]
        red[i] += r0 * at0 + r1 * at1 + r2 * at2 + r3 * at3
        green[i] += g0 * at0 + g1 * at1 + g2 * at2 + g3 * at3
        blue[i] += b0 * at0 + b1 * at1 + b2 * at2 + b3 * at3
