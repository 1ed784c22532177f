"""Labels and flow as colours, for people."""

import numpy as np

# sRGB; neighbours in a face differ in hue.
CLASS_COLOURS = np.array(
    [
        (0, 0, 0), (236, 196, 150), (120, 60, 20), (170, 90, 30), (40, 120, 255), (20, 200, 255), (150, 150, 150),
        (255, 120, 180), (255, 60, 140), (255, 230, 0), (120, 220, 120), (120, 0, 0), (255, 40, 40), (200, 0, 90),
        (190, 140, 230), (255, 255, 160), (70, 90, 160), (100, 60, 140), (0, 130, 110),
    ],
    np.uint8,
)


def colour_labels(labels: np.ndarray, picture_srgb: np.ndarray | None = None) -> np.ndarray:
    """Class map (H, W) as colours (H, W, 3) uint8, half transparent over a picture if one is given."""
    colours = CLASS_COLOURS[np.minimum(labels, len(CLASS_COLOURS) - 1)]
    if picture_srgb is None:
        return colours
    over = (colours.astype(np.uint16) + picture_srgb) // 2
    return np.where((labels > 0)[..., None], over, picture_srgb // 2).astype(np.uint8)


def colour_flow(flow: np.ndarray, largest_px: float) -> np.ndarray:
    """Flow (H, W, 2) [px] as colours (H, W, 3) uint8: hue is direction, red to the right; brightness is length."""
    import cv2

    angle = np.arctan2(flow[..., 1], flow[..., 0])
    length = np.hypot(flow[..., 0], flow[..., 1]) / max(largest_px, 1e-6)
    hue = np.round(angle / np.pi * 90) % 180
    hsv = np.stack([hue, np.full_like(hue, 255), np.minimum(np.round(length * 255), 255)], -1).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
