"""Light probes: directions from highlights on a mirror ball, brightness from a white diffuse ball or a flat target.

Pixel coordinates have their origin at the centre of the top-left pixel, x to the right, y down. Directions have this
package's axes; the camera looks along -Z.
"""

from dataclasses import dataclass

import numpy as np

from olatkit.color import luminance
from olatkit.errors import CaptureError

BEHIND = -0.95  # z of a direction that is seen at the very edge of the ball, where pixels say little
LIT_COSINE = 0.2  # between normal and light, from which a pixel of a diffuse ball is used
MIN_PIXELS = 200
SPOT_SHARE = 0.8  # of the widest disc inside a highlight: what is narrower is flare or a brush mark


@dataclass(frozen=True)
class Ball:
    """Outline of a ball in a picture, pixels."""

    x: float
    y: float
    radius: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.x, self.y, self.radius]).all() and self.radius > 3):
            raise CaptureError(f"ball at ({self.x:g}, {self.y:g}) with radius {self.radius:g} px, expected one above 3 px")

    def box(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Rows and columns of the picture that hold the ball; CaptureError if it lies outside."""
        top, bottom = int(np.floor(self.y - self.radius)), int(np.ceil(self.y + self.radius)) + 1
        left, right = int(np.floor(self.x - self.radius)), int(np.ceil(self.x + self.radius)) + 1
        rows, columns = slice(max(top, 0), min(bottom, shape[0])), slice(max(left, 0), min(right, shape[1]))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            raise CaptureError(
                f"ball at ({self.x:g}, {self.y:g}) with radius {self.radius:g} px lies outside the picture of "
                f"{shape[1]}x{shape[0]} pixels"
            )
        return rows, columns


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: ``focal_px`` the focal length in pixels, ``center`` (x, y) the principal point in pixels."""

    focal_px: float
    center: tuple[float, float]

    def rays(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Unit vectors from the camera through pixels, shape (..., 3); +Z to the camera, so they have negative z."""
        across = (np.asarray(x) - self.center[0]) / self.focal_px
        down = (np.asarray(y) - self.center[1]) / self.focal_px
        rays = np.stack([across, -down, -np.ones_like(across)], axis=-1)
        return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def ball_normals(ball: Ball, x: np.ndarray, y: np.ndarray, camera: Camera | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Normals of a ball's surface at pixels, and the directions from there to the camera.

    Parameters
    ----------
    ball : Ball
    x, y : ndarray
        Pixels, any shape.
    camera : Camera, optional
        Perspective; None for a camera far away.

    Returns
    -------
    normals : ndarray, shape (..., 3)
        NaN outside the ball.
    views : ndarray, shape (..., 3)

    Notes
    -----
    In perspective the outline lies on a cone: rays r to it satisfy r·m = 1 with m the direction of the centre over the
    cosine of the cone's half angle, a linear fit. Distances are relative to that of the centre.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if camera is None:
        right, up = (x - ball.x) / ball.radius, (ball.y - y) / ball.radius
        squared = 1 - right**2 - up**2
        normals = np.stack([right, up, np.sqrt(np.where(squared >= 0, squared, np.nan))], axis=-1)
        return normals, np.broadcast_to([0.0, 0.0, 1.0], normals.shape)
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    outline = camera.rays(ball.x + ball.radius * np.cos(angles), ball.y + ball.radius * np.sin(angles))
    middle = np.linalg.lstsq(outline, np.ones(len(outline)), rcond=None)[0]
    center = middle / np.linalg.norm(middle)
    squared_radius = 1 - 1 / (middle @ middle)
    rays = camera.rays(x, y)
    along = rays @ center
    squared = along**2 - 1 + squared_radius
    distance = along - np.sqrt(np.where(squared >= 0, squared, np.nan))
    return (rays * distance[..., None] - center) / np.sqrt(squared_radius), -rays


def mirror_direction(ball: Ball, x: float, y: float, camera: Camera | None = None) -> np.ndarray:
    """Direction of the light whose highlight a mirror ball shows at a pixel, shape (3,); NaN outside the ball.

    d = 2 (n·v) n - v, with n the normal there and v the direction to the camera.
    """
    normals, views = ball_normals(ball, np.array(x), np.array(y), camera)
    return 2 * (normals @ views) * normals - views


def find_highlight(picture: np.ndarray, ball: Ball, *, still: np.ndarray | None = None) -> tuple[float, float] | None:
    """Sub-pixel place of the highlight of one light on a mirror ball.

    Parameters
    ----------
    picture : ndarray, shape (H, W)
        Linear grey.
    ball : Ball
    still : ndarray, shape (H, W), optional
        What all pictures have in common (their median): reflections of windows and of the stage; subtracted.

    Returns
    -------
    (x, y) or None
        Centroid of the spot above half of its peak, on a slightly smoothed picture; None if nothing stands out.
    """
    import cv2

    rows, columns = ball.box(picture.shape)
    spot: np.ndarray = picture[rows, columns].astype(np.float32)
    if still is not None:
        spot = np.maximum(spot - still[rows, columns], 0)
    y, x = np.mgrid[rows, columns]
    inside = np.hypot(x - ball.x, y - ball.y) < 0.99 * ball.radius
    spot = cv2.GaussianBlur(np.where(inside, spot, 0).astype(np.float32), (0, 0), max(0.8, ball.radius / 150))
    peak, base = float(spot.max()), float(np.percentile(spot[inside], 90))
    if not peak > 4 * base + 1e-4:
        return None
    _, labels = cv2.connectedComponents((spot > peak / 2).astype(np.uint8), connectivity=8)
    core = _without_streaks(labels == labels[np.unravel_index(int(spot.argmax()), spot.shape)])
    weight = np.where(core, spot - peak / 2, 0)
    total = float(weight.sum())
    return float((weight * x).sum() / total), float((weight * y).sum() / total)


def _without_streaks(blob: np.ndarray) -> np.ndarray:
    """What a disc of three quarters of the largest one inside the blob can reach: brush marks and flare are narrower."""
    import cv2

    framed = cv2.copyMakeBorder(blob.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    largest = float(cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max())
    reach = int(SPOT_SHARE * largest)
    if reach < 2:
        return blob
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.morphologyEx(framed, cv2.MORPH_OPEN, disc)[1:-1, 1:-1] > 0


def measure_gain(
    image: np.ndarray, normals: np.ndarray, direction: np.ndarray, *, saturation: float = 0.95
) -> tuple[np.ndarray, float]:
    """Brightness of a light per channel from its picture of a white diffuse surface.

    Parameters
    ----------
    image : ndarray, shape (N, 3)
        Linear values of pixels of the surface, 1 = full scale.
    normals : ndarray, shape (N, 3)
        Of these pixels.
    direction : ndarray, shape (3,)
        Of the light.
    saturation : float
        Pixels that reach it in any channel are left out.

    Returns
    -------
    gain : ndarray, shape (3,)
        g of I = g max(0, n·d), least squares over pixels with n·d > 0.2 and within 20 % of the median of ratios, which
        leaves out dust, shadows and shine; NaN with fewer than 200 such pixels.
    misfit : float
        Mean of |I - g n·d| over all pixels with n·d > 0.2 below saturation, colours together, over the mean of g n·d: how
        far the target is from a white diffuse surface; NaN where the gain is.
    """
    cosine = normals @ direction
    usable = (cosine > LIT_COSINE) & (image.max(axis=1) < saturation) & np.isfinite(cosine)
    unknown = np.full(3, np.nan), float("nan")
    if usable.sum() < MIN_PIXELS:
        return unknown
    values, cosine = image[usable].astype(float), cosine[usable]
    start = np.median(values / cosine[:, None], axis=0)
    near = np.abs(values / cosine[:, None] - start) < 0.2 * np.abs(start)
    if near.sum(axis=0).min() < MIN_PIXELS:
        return unknown
    gain = (near * values * cosine[:, None]).sum(axis=0) / (near * cosine[:, None] ** 2).sum(axis=0)
    fitted = gain.sum() * cosine
    return gain, float(np.abs(values.sum(axis=1) - fitted).mean() / max(float(fitted.mean()), 1e-9))


def normalise_gains(measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gains of mean luminance 1; lights that were not measured (NaN) get the median of the others.

    Returns
    -------
    gains : ndarray, shape (L, 3)
    known : ndarray of bool, shape (L,)

    Raises
    ------
    CaptureError
        No light was measured, or one has no brightness.
    """
    known = np.isfinite(measured).all(axis=1)
    if not known.any():
        raise CaptureError(
            f"no light lights {MIN_PIXELS} pixels of the target without saturation; check the ball's place and the exposure"
        )
    dark = np.flatnonzero(known & (np.nan_to_num(measured) <= 0).any(axis=1))
    if dark.size:
        raise CaptureError(f"the target is black under light {dark[0]}; switch it off in the rig if the lamp has failed")
    gains = np.where(known[:, None], measured, np.median(measured[known], axis=0))
    return gains / luminance(gains[known]).mean(), known


def angles_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles between unit vectors (..., 3), degrees; exact near zero, where the arc cosine is not."""
    return np.degrees(2 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1)))
