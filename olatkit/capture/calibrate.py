"""The sensor: dark frame, bad pixels, saturation, row offsets, noise.

Arrays are raw frames, (H, W) mosaic or mono or (H, W, 3); ``bayer`` is the pattern of a mosaic and None otherwise.
Only its presence matters: pixels of one colour lie two apart.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from olatkit.errors import CaptureError
from olatkit.wording import counted

_NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]


def mean_dark(frames: np.ndarray) -> np.ndarray:
    """Mean of dark frames, (T, ...) to float32 (...); 64 frames or more keep its noise below an eighth of a frame's.

    Raises
    ------
    CaptureError
        If there is no frame.
    """
    if len(frames) == 0:
        raise CaptureError("no dark frame was given, expected 64 or more; record some with the lights off")
    total = np.zeros(frames.shape[1:])
    for frame in frames:
        total += frame
    return (total / len(frames)).astype(np.float32)


def find_bad_pixels(
    dark: np.ndarray, *, bayer: str | None = None, flat: np.ndarray | None = None, sigma: float = 8.0
) -> np.ndarray:
    """Pixels that glow in the dark or stay dark in the light.

    Parameters
    ----------
    dark : ndarray, shape (H, W) or (H, W, 3)
        Mean dark frame.
    bayer : str, optional
        Pattern of a mosaic.
    flat : ndarray, optional
        Mean frame of an evenly lit surface above black; pixels below half of their surroundings are bad. Where the
        surroundings are below a tenth of the frame's median, such as under a shield, pixels are not judged.
    sigma : float
        Deviation from the 5x5 neighbours of the same colour, in robust standard deviations of the frame, from
        which a dark pixel is bad.

    Returns
    -------
    ndarray of bool, shape (H, W)
    """
    bad: np.ndarray = np.zeros(dark.shape, bool)
    for plane in _planes(bayer):
        excess = dark[plane] - _median_5x5(dark[plane])
        spread = 1.4826 * np.median(np.abs(excess))
        bad[plane] = np.abs(excess) > sigma * max(float(spread), 1e-6)
        if flat is not None:
            around = _median_5x5(flat[plane])
            bad[plane] |= (flat[plane] < 0.5 * around) & (around > 0.1 * np.median(flat[plane]))
    return np.any(bad, axis=2) if bad.ndim == 3 else bad


def replace_bad_pixels(frame: np.ndarray, bad: np.ndarray, bayer: str | None) -> np.ndarray:
    """Bad pixels replaced by the median of their good neighbours of the same colour; others are untouched.

    Parameters
    ----------
    frame : ndarray, shape (H, W) or (H, W, 3)
        Raw frame of any type.
    bad : ndarray of bool, shape (H, W)
        From :func:`find_bad_pixels`.
    bayer : str or None
        Pattern of a mosaic.

    Returns
    -------
    ndarray
        A copy, of the frame's type.

    Raises
    ------
    CaptureError
        A bad pixel without a good neighbour among the 8 nearest of its colour.
    """
    step = 1 if bayer is None else 2
    if not bad.any():
        return frame.copy()
    y, x = np.nonzero(bad)
    values = np.full((8, len(y), *frame.shape[2:]), np.nan)
    for k, (dy, dx) in enumerate(_NEIGHBOURS):
        ny, nx = y + step * dy, x + step * dx
        inside = (ny >= 0) & (ny < bad.shape[0]) & (nx >= 0) & (nx < bad.shape[1])
        inside[inside] &= ~bad[ny[inside], nx[inside]]
        values[k, inside] = frame[ny[inside], nx[inside]]
    lost = np.flatnonzero(np.isnan(values).reshape(8, len(y), -1).all(axis=(0, 2)))
    if lost.size:
        n = lost[0]
        raise CaptureError(
            f"bad pixel at row {y[n]}, column {x[n]} has no good neighbour of its colour "
            f"({counted(len(y), 'bad pixel')} in all); "
            "the bad pixel map marks whole areas: make it again from a clean dark frame"
        )
    fixed = frame.copy()
    median = np.nanmedian(values, axis=0)
    fixed[y, x] = np.round(median) if np.issubdtype(frame.dtype, np.integer) else median
    return fixed


def find_transients(
    frame: np.ndarray, *, bayer: str | None, gain: float, read_noise: float, sigma: float = 12.0
) -> np.ndarray:
    """Single pixels that stand out of one frame, such as cosmic ray hits.

    A pixel counts if it differs from the median of the 5x5 neighbours of its colour by more than ``sigma`` times
    the noise expected at that level, and lies outside the range of the 8 nearest by more than half that difference:
    lens blur spreads a real highlight over more than one pixel.

    Parameters
    ----------
    frame : ndarray, shape (H, W) or (H, W, 3)
        Frame above black, in sensor units.
    bayer : str or None
        Pattern of a mosaic.
    gain, read_noise : float
        Variance per unit of signal, and noise without light, both from :func:`photon_transfer`.
    sigma : float
        Limit in standard deviations.

    Returns
    -------
    ndarray of bool, shape of the frame
    """
    import cv2

    ring = np.ones((3, 3), np.uint8)
    ring[1, 1] = 0
    hit = np.zeros(frame.shape, bool)
    for plane in _planes(bayer):
        values = np.ascontiguousarray(frame[plane], np.float32)
        median = _median_5x5(values)
        limit = sigma * np.sqrt(gain * np.maximum(median, 0) + read_noise**2)
        beyond = np.maximum(values - cv2.dilate(values, ring), cv2.erode(values, ring) - values)
        excess = np.abs(values - median)
        hit[plane] = (excess > limit) & (beyond > excess / 2)
    return hit


def row_offsets(shielded: np.ndarray) -> np.ndarray:
    """What the rows of a frame deviate from each other without light (row noise, banding).

    Parameters
    ----------
    shielded : ndarray, shape (H, K) or (H, K, 3)
        Columns of the frame that no light reaches, less their mean dark frame.

    Returns
    -------
    ndarray, shape (H,), float32
        To be subtracted; its mean is 0, so that the black level itself stays.
    """
    rows = shielded.reshape(len(shielded), -1).mean(axis=1, dtype=float)
    return (rows - rows.mean()).astype(np.float32)


def photon_transfer(flat_pairs: Sequence[np.ndarray]) -> tuple[float, float]:
    """Gain and read noise from pairs of equally lit frames at two or more levels.

    Parameters
    ----------
    flat_pairs : sequence of ndarray, each of shape (2, ...)
        Two frames above black per light level, in sensor units. What is fixed in the scene cancels in their
        difference.

    Returns
    -------
    gain : float
        Variance per unit of signal (sensor units per electron).
    read_noise : float
        Standard deviation without light, sensor units.

    Raises
    ------
    CaptureError
        Fewer than two levels, or levels through which no line with positive slope and intercept passes.
    """
    level = np.array([np.mean(pair, dtype=float) for pair in flat_pairs])
    variance = np.array([np.var(np.subtract(*np.asarray(pair, float))) / 2 for pair in flat_pairs])
    if len(level) < 2 or np.ptp(level) <= 0:
        raise CaptureError(f"photon transfer has pairs at levels {level.tolist()}, expected two levels or more")
    weight = 1 / np.maximum(variance, 1e-12)  # the error of a variance grows with it
    gain, offset = np.polyfit(level, variance, 1, w=weight)
    if gain <= 0 or offset < 0:
        raise CaptureError(
            f"photon transfer gives gain {gain:.4g} and read variance {offset:.4g}, expected positive numbers; add a "
            "pair with little light and leave out saturated ones"
        )
    return float(gain), float(np.sqrt(offset))


def _planes(bayer: str | None) -> Iterator[tuple[slice, slice]]:
    """Index of each plane of one colour position: four for a mosaic, else the whole frame."""
    step = 1 if bayer is None else 2
    for dy in range(step):
        for dx in range(step):
            yield slice(dy, None, step), slice(dx, None, step)


def _median_5x5(plane: np.ndarray) -> np.ndarray:
    """Median of 5x5 pixels per channel, float32, edges replicated."""
    import cv2

    return cv2.medianBlur(np.ascontiguousarray(plane, np.float32), 5)
