"""Face parsing: the 19 classes, and what holds for every backend."""

import numpy as np

# The 19 classes of CelebAMask-HQ; left and right are the picture's.
CLASSES = (
    "background", "skin", "brow_left", "brow_right", "eye_left", "eye_right", "glasses", "ear_left", "ear_right",
    "earring", "nose", "mouth", "lip_upper", "lip_lower", "neck", "necklace", "cloth", "hair", "hat",
)
CLASS = {name: index for index, name in enumerate(CLASSES)}


def foreground_labels(foreground: np.ndarray) -> np.ndarray:
    """All that is known without any model: class 1 (skin) where the subject covers half a pixel or more.

    Parameters
    ----------
    foreground : ndarray, shape (H, W)
        Coverage, 0 to 1.

    Returns
    -------
    ndarray, shape (H, W), uint8
        0 or 1.
    """
    return (np.asarray(foreground) >= 0.5).astype(np.uint8)


def check_picture(image_srgb: np.ndarray, foreground: np.ndarray | None) -> None:
    """Raise ValueError unless the picture is (H, W, 3) uint8 and the foreground, if given, is (H, W)."""
    if image_srgb.ndim != 3 or image_srgb.shape[2] != 3 or image_srgb.dtype != np.uint8:
        raise ValueError(f"picture is {image_srgb.shape} {image_srgb.dtype}, expected (H, W, 3) uint8")
    if foreground is not None and foreground.shape != image_srgb.shape[:2]:
        raise ValueError(f"foreground is {foreground.shape}, expected {image_srgb.shape[:2]} as the picture")
