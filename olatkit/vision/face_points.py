"""The 468 points of the small face mesh: which of them bound what, named by the picture's sides.

The numbers are those of the canonical face model that the network was trained on (Kartynnik, Ablavatski, Grishchenko
and Grundmann, "Real-time facial surface geometry from monocular video on mobile GPUs", 2019, arXiv:1907.06724).
"""

import numpy as np

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
# Finer grid on which outlines are drawn.
_FINE = 12
FOREHEAD, CHIN = 10, 152
JAW_LEFT, JAW_RIGHT = 234, 454

_MOUTH_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
_MOUTH_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_LIPS_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
_LIPS_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)

# Polygons by class; a nose is the hull of its points. Later ones are drawn over earlier ones.
NOSE = (168, 193, 417, 122, 351, 196, 419, 198, 420, 49, 279, 48, 278, 64, 294, 98, 327, 97, 326, 2)
OUTLINES = {
    "brow_left": (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    "brow_right": (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
    "eye_left": (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    "eye_right": (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
    "mouth": _MOUTH_UPPER + _MOUTH_LOWER[::-1],
    "lip_upper": _LIPS_UPPER + _MOUTH_UPPER[::-1],
    "lip_lower": _LIPS_LOWER + _MOUTH_LOWER[::-1],
}


def fill(outline: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels that lie by at least half in a polygon (N, 2) of (x, y), shape (H, W) bool."""
    import cv2

    out = np.zeros(shape, bool)
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 2, shape[::-1])
    width, height = high - low
    if width <= 0 or height <= 0:
        return out
    # Drawn larger, since OpenCV paints every pixel that the outline touches.
    large = np.zeros((_FINE * height, _FINE * width), np.uint8)
    corners = (outline - low + 0.5) * _FINE - 0.5
    cv2.fillPoly(large, [np.round(corners * 16).astype(np.int32)], 255, shift=4)
    share = cv2.resize(large, (int(width), int(height)), interpolation=cv2.INTER_AREA)
    out[low[1] : high[1], low[0] : high[0]] = share >= 128
    return out
