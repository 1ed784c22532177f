"""Foreground over a background, and balls beside it, all in linear light."""

from typing import TYPE_CHECKING

import numpy as np

from olatkit.color import luminance

if TYPE_CHECKING:
    from olatkit.envmap import EnvironmentMap
    from olatkit.render.lighting_ball import LightingBall

# What the balls beside a picture reflect, so that they are not mostly white.
BALL_REFLECTANCE = 0.5
# How far the edge of the subject may lie from where a threshold puts it.
EDGE_PX = 2


def find_matte(white: np.ndarray) -> np.ndarray:
    """Coverage by the subject, from the picture under a white sky.

    Parameters
    ----------
    white : ndarray, shape (H, W, 3)
        Linear, the subject brighter than what is behind it.

    Returns
    -------
    ndarray, shape (H, W), float32
        0 to 1. The largest bright region with its holes filled is the subject; in its edge, a few pixels wide, the
        coverage is the brightness relative to that of the subject beside it, since the stage behind is dark. Fine
        hair far from the edge is not resolved: that takes a matte of one's own.
    """
    import cv2

    from olatkit.vision.matting import foreground_mask

    grey = luminance(white).astype(np.float32)
    mask = foreground_mask(grey).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * EDGE_PX + 1, 2 * EDGE_PX + 1))
    inside, near = cv2.erode(mask, disc) > 0, cv2.dilate(mask, disc) > 0
    # Mean brightness of the inside beside every pixel of the edge.
    share = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), EDGE_PX)
    bright = cv2.GaussianBlur(grey * inside, (0, 0), EDGE_PX) / np.maximum(share, 1e-6)
    known = (share > 1e-3) & (bright > 0)
    edge = np.where(known, np.clip(grey / np.where(known, bright, 1), 0, 1), mask)
    return np.where(inside, 1, np.where(near, edge, 0)).astype(np.float32)


def over(foreground: np.ndarray, matte: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Foreground over background, (H, W, 3) both linear and in one unit, matte (H, W) from 0 to 1.

    A stage is dark around the subject, so its pictures are already mixed with black at the edge, in proportion to the
    coverage: the foreground is added as it is, and only left out where the matte is 0.
    """
    cover = matte[..., None].astype(np.float32)
    return np.where(cover > 0, foreground, 0) + (1 - cover) * background


def fill_frame(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale a picture (h, w, 3) until it covers the frame, and cut its middle out, shape (height, width, 3)."""
    import cv2

    scale = max(height / picture.shape[0], width / picture.shape[1])
    size = (max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(np.ascontiguousarray(picture, np.float32), size, interpolation=way)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def camera_directions(height: int, width: int, fov_deg: float) -> tuple[np.ndarray, float]:
    """Directions in which a camera on +Z that looks along -Z sees its pixels, and their distance in the middle.

    Parameters
    ----------
    height, width : int
        Pixels of the picture.
    fov_deg : float
        Horizontal field of view, more than 0 and less than 180.

    Returns
    -------
    directions : ndarray, shape (height, width, 3)
        Unit vectors; what is seen there is infinitely far behind the subject.
    pixel_rad : float
        Angle between neighbours in the middle of the picture.
    """
    if not 0 < fov_deg < 180:
        raise ValueError(f"fov_deg is {fov_deg:g}, expected more than 0 and less than 180")
    focal_px = width / 2 / np.tan(np.radians(fov_deg) / 2)
    right, down = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    rays = np.stack([right, -down, np.full(right.shape, -focal_px)], axis=-1)
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True), 1 / focal_px


def beside_balls(picture: np.ndarray, ball: "LightingBall", environment: "EnvironmentMap") -> np.ndarray:
    """A picture (H, W, 3), and at its right the mirror ball above the diffuse one, both reflecting a half.

    The map is in the unit of the picture. The panel is as wide as the balls.
    """
    balls = [BALL_REFLECTANCE * ball.mirror(environment), BALL_REFLECTANCE * ball.diffuse(environment)]
    size = balls[0].shape[0]
    panel = np.zeros((picture.shape[0], size, 3), np.float32)
    for i, shown in enumerate(balls):
        top = i * picture.shape[0] // 2 + (picture.shape[0] // 2 - size) // 2
        panel[top : top + size] = shown
    return np.concatenate([picture, panel], axis=1)
