"""Where the subject is in a picture."""

import numpy as np


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
