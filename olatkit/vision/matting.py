"""Where the subject is in a picture, and how much of each pixel it covers."""

import numpy as np

from olatkit.vision.matting_laplacian import spread

# Share of the recorded pixels, in percent, that is surely background: the level of the noise.
_NOISE_PERCENTILE = 2
# A backdrop darker than this share of its median says nothing about coverage.
_LEAST_BACKDROP = 0.05


def foreground_mask(grey: np.ndarray, *, threshold: float | None = None) -> np.ndarray:
    """The largest connected bright region with its holes filled.

    Parameters
    ----------
    grey : ndarray, shape (H, W)
        Linear, subject brighter than the background.
    threshold : float, optional
        Level between background and subject; found by Otsu's method on the square root of ``grey`` if None.

    Returns
    -------
    ndarray of bool, shape (H, W)
        All False if nothing stands out.

    References
    ----------
    Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9(1), 1979,
    doi:10.1109/TSMC.1979.4310076.
    """
    import cv2

    smooth = cv2.GaussianBlur(np.maximum(grey, 0).astype(np.float32), (0, 0), 1.0)
    if threshold is None:
        top = float(np.percentile(smooth, 99.5))
        if top <= 0:
            return np.zeros(grey.shape, bool)
        coded = np.round(np.sqrt(np.minimum(smooth / top, 1)) * 255).astype(np.uint8)
        level, _ = cv2.threshold(coded, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        binary = (coded > level).astype(np.uint8)
    else:
        binary = (smooth > threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    if count < 2:
        return np.zeros(grey.shape, bool)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    region = (labels == largest).astype(np.uint8)
    # What the frame border cannot reach through the background is a hole.
    padded = cv2.copyMakeBorder(region, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    flooded = padded.copy()
    cv2.floodFill(flooded, None, (0, 0), 2)
    return flooded[1:-1, 1:-1] != 2


def stack_foreground(radiance: np.ndarray) -> np.ndarray:
    """Where the subject is in pictures of one instant under many lights, without any model.

    Parameters
    ----------
    radiance : ndarray, shape (L, H, W, 3)
        Linear, noise around black kept; the background is dark under every light. What was not recorded is zero.

    Returns
    -------
    ndarray, shape (H, W), float32
        0 or 1, about a pixel too large all around: :func:`alpha_matte` finds the coverage at the edge. All 0 if
        nothing stands out.

    Notes
    -----
    The root mean square over all lights lets the lights from behind and beside count, which reach the rim and black
    hair. Its logarithm above the noise tells hair from background where skin is a hundred times brighter than both.
    """
    energy = np.einsum("lhwc,lhwc->hw", radiance, radiance, dtype=np.float32)
    recorded = energy[energy > 0]
    if not recorded.size:
        return np.zeros(energy.shape, np.float32)
    floor = np.percentile(recorded, _NOISE_PERCENTILE)
    height = np.log(np.maximum(energy, floor) / floor)
    # The mask works on square roots of what it is given.
    return foreground_mask(np.square(height)).astype(np.float32)


def backdrop_matte(frame: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """Coverage from a frame in which only the backdrop is lit, as in `matte` slots of a schedule.

    Parameters
    ----------
    frame : ndarray, shape (H, W, 3)
        Linear, black level taken out: the subject stands dark before the lit backdrop.
    plate : ndarray, shape (H, W, 3)
        The same without a subject; a mean of several frames is best.

    Returns
    -------
    ndarray, shape (H, W), float32
        ``1 - frame / plate``, 0 to 1, all channels together.

    Raises
    ------
    ValueError
        The shapes differ, or the plate is dark somewhere: nothing can be told there.
    """
    if frame.shape != plate.shape or frame.ndim != 3:
        raise ValueError(f"frame is {frame.shape} and plate {plate.shape}, expected the same (H, W, 3)")
    bright = plate.sum(axis=2)
    dark = bright < _LEAST_BACKDROP * np.median(bright)
    if dark.any() or not np.median(bright) > 0:
        raise ValueError(f"the plate is dark in {dark.mean():.1%} of the picture: crop to where the backdrop is lit")
    return np.clip(1 - frame.sum(axis=2) / bright, 0, 1).astype(np.float32)


def alpha_matte(image_srgb: np.ndarray, trimap_or_foreground: np.ndarray, *, band_px: int | None = None) -> np.ndarray:
    """Share of every pixel that the foreground covers, by closed-form matting.

    Parameters
    ----------
    image_srgb : ndarray, shape (H, W, 3), uint8
        The picture.
    trimap_or_foreground : ndarray, shape (H, W)
        1 surely foreground, 0 surely background, values between are sought. A mask of 0 and 1 alone becomes a trimap
        by a band around its edge.
    band_px : int, optional
        Half width of that band; a 32nd of the shorter side by default.

    Returns
    -------
    ndarray, shape (H, W), float32
        0 to 1; known pixels keep their value.

    Raises
    ------
    ConfigError
        pymatting is not installed.

    References
    ----------
    Levin, Lischinski and Weiss, "A closed-form solution to natural image matting", IEEE TPAMI 30(2), 2008,
    doi:10.1109/TPAMI.2007.1177.
    """
    trimap = np.clip(np.asarray(trimap_or_foreground, np.float64), 0, 1)
    if image_srgb.shape != (*trimap.shape, 3) or image_srgb.dtype != np.uint8:
        raise ValueError(f"picture is {image_srgb.shape} {image_srgb.dtype}, expected {(*trimap.shape, 3)} uint8")
    if not ((trimap > 0) & (trimap < 1)).any():
        trimap = _grow_band(trimap, band_px if band_px is not None else max(3, min(trimap.shape) // 32))
    unknown = (trimap > 0) & (trimap < 1)
    if not unknown.any():
        return trimap.astype(np.float32)
    box = _around(unknown, margin=8)
    # Unknown pixels start from what the trimap says of them; nothing else holds them to it.
    found = spread(image_srgb[box], trimap[box][None], unknown[box], np.zeros_like(trimap[box]))[0]
    out = trimap.astype(np.float32)
    out[box] = found
    return out


def _grow_band(mask: np.ndarray, band_px: int) -> np.ndarray:
    """Trimap of a mask: 0.5 within ``band_px`` of its edge."""
    import cv2

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band_px + 1, 2 * band_px + 1))
    inside = (mask >= 1).astype(np.uint8)
    # Beyond the border the picture goes on: no edge there.
    sure = cv2.erode(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    maybe = cv2.dilate(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.where(sure == 1, 1.0, np.where(maybe == 1, 0.5, 0.0))


def _around(region: np.ndarray, *, margin: int) -> tuple[slice, slice]:
    """Rows and columns of a region's bounding box, widened."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return (
        slice(max(0, rows[0] - margin), rows[-1] + 1 + margin),
        slice(max(0, columns[0] - margin), columns[-1] + 1 + margin),
    )
