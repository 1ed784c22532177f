"""Find the outline of a ball in a picture."""

import numpy as np

from olatkit.capture.probes import Ball
from olatkit.errors import CaptureError

SEARCH_PX = 400  # longest side of the picture that is searched; the outline is then refined at full size
TRIALS = 4000
MIN_OUTLINE = 0.4  # share of the outline that must be seen


def find_ball(picture: np.ndarray) -> tuple[Ball, float]:
    """Find the largest clear circle: three edge points make a circle, and the one with the fullest outline wins.

    Parameters
    ----------
    picture : ndarray, shape (H, W)
        Grey, any scale. A picture with light on what is behind the ball shows the outline best.

    Returns
    -------
    ball : Ball
        Least-squares circle through the steepest point on each of 360 radii, outliers left out.
    seen : float
        Share of these radii that agree with it.

    Raises
    ------
    CaptureError
        No circle shows at least 40 % of its outline.

    Notes
    -----
    Random samples as in Fischler and Bolles 1981 (DOI 10.1145/358669.358692), from a fixed seed: the same picture gives
    the same ball.
    """
    import cv2

    grey = np.asarray(picture, np.float32)
    grey = np.sqrt(np.clip(grey / max(float(np.percentile(grey, 99)), 1e-6), 0, 1))
    scale = min(1.0, SEARCH_PX / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    candidate = _search(cv2.GaussianBlur(small, (0, 0), 1.2))
    if candidate is not None:
        # Pixel centres: x of the small picture is (x + 0.5) scale - 0.5 of the large one.
        center = (candidate[:2] + 0.5) / scale - 0.5
        ball, seen = _refine(grey, np.array([*center, candidate[2] / scale]))
        if ball is not None and seen >= MIN_OUTLINE:
            return ball, seen
    raise CaptureError("no ball was found: no circle shows two fifths of its outline; say where it is with --ball")


def _search(small: np.ndarray) -> np.ndarray | None:
    """Best circle (x, y, radius) among random triples of edge points."""
    import cv2

    dx, dy = cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)
    steep = np.hypot(dx, dy)
    codes = np.round(small * 255).astype(np.uint8)
    edges = cv2.Canny(codes, 15, 40) > 0
    y, x = np.nonzero(edges)
    if len(x) < 30:
        return None
    random = np.random.default_rng(0)
    if len(x) > 6000:
        pick = random.choice(len(x), 6000, replace=False)
        x, y = x[pick], y[pick]
    points = np.stack([x, y], axis=1).astype(float)
    slope = np.stack([dx[y, x], dy[y, x]], axis=1) / (steep[y, x][:, None] + 1e-9)
    circles = _circles(points[random.integers(len(points), size=(TRIALS, 3))])
    limit = max(small.shape)
    fits = np.isfinite(circles).all(axis=1) & (circles[:, 2] > 0.05 * limit) & (circles[:, 2] < 0.6 * limit)
    best, best_score = None, 0.0
    for circle in circles[fits]:
        score = _outline_share(points, slope, circle)
        if score > best_score:
            best, best_score = circle, score
    return best if best_score > 0.25 else None


def _circles(triples: np.ndarray) -> np.ndarray:
    """Circles (T, 3) through triples of points (T, 3, 2)."""
    a, b, c = triples[:, 0], triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        d = 2 * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
        bb, cc = (b**2).sum(1), (c**2).sum(1)
        u = np.stack([(c[:, 1] * bb - b[:, 1] * cc) / d, (b[:, 0] * cc - c[:, 0] * bb) / d], axis=1)
    return np.concatenate([a + u, np.linalg.norm(u, axis=1)[:, None]], axis=1)


def _outline_share(points: np.ndarray, slope: np.ndarray, circle: np.ndarray) -> float:
    """Share of 72 sectors that hold an edge point on the circle whose gradient is radial."""
    offset = points - circle[:2]
    distance = np.linalg.norm(offset, axis=1)
    near = np.abs(distance - circle[2]) < 1.2
    radial = np.abs((offset[near] * slope[near]).sum(axis=1)) > 0.9 * distance[near]
    angles = np.arctan2(offset[near][radial, 1], offset[near][radial, 0])
    return len(np.unique(((angles / (2 * np.pi) + 0.5) * 72).astype(int) % 72)) / 72


def _refine(grey: np.ndarray, circle: np.ndarray) -> tuple[Ball | None, float]:
    """Sub-pixel circle through the steepest point of 360 radial profiles."""
    import cv2

    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    angles = np.radians(np.arange(360))
    width = 0.03
    for width in (0.03, 0.015, 0.015):
        reach = max(width * circle[2], 4.0)
        radii = circle[2] + np.arange(-reach, reach + 0.25, 0.25)
        x = (circle[0] + radii * np.cos(angles)[:, None]).astype(np.float32)
        y = (circle[1] + radii * np.sin(angles)[:, None]).astype(np.float32)
        profile = cv2.remap(smooth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        steep = np.abs(np.gradient(profile, axis=1))
        inside = (x.min(1) > 0) & (y.min(1) > 0) & (x.max(1) < grey.shape[1] - 1) & (y.max(1) < grey.shape[0] - 1)
        peak = steep.max(axis=1)
        clear = inside & (peak > 0.3 * np.median(peak[inside])) if inside.any() else inside
        if clear.sum() < 30:
            return None, 0.0
        where = radii[0] + 0.25 * _peak_place(steep)
        points = np.stack([circle[0] + where * np.cos(angles), circle[1] + where * np.sin(angles)], axis=1)
        circle, kept = _fit(points[clear])
    return Ball(*(float(v) for v in circle)), kept / len(angles)


def _peak_place(values: np.ndarray) -> np.ndarray:
    """Index of each row's maximum, between samples by a parabola."""
    i = np.clip(values.argmax(axis=1), 1, values.shape[1] - 2)
    rows = np.arange(len(values))
    a, b, c = values[rows, i - 1], values[rows, i], values[rows, i + 1]
    return i + np.where(2 * b - a - c > 1e-12, 0.5 * (c - a) / np.maximum(2 * b - a - c, 1e-12), 0).clip(-0.5, 0.5)


def _fit(points: np.ndarray) -> tuple[np.ndarray, int]:
    """Least-squares circle, outliers left out step by step; how many points lie within 1 px or 0.3 % of it."""
    keep = np.ones(len(points), bool)
    circle, error = np.zeros(3), np.zeros(len(points))
    for _ in range(8):
        system = np.column_stack([2 * points[keep], np.ones(keep.sum())])
        x, y, rest = np.linalg.lstsq(system, (points[keep] ** 2).sum(axis=1), rcond=None)[0]
        circle = np.array([x, y, np.sqrt(rest + x * x + y * y)])
        error = np.abs(np.linalg.norm(points - circle[:2], axis=1) - circle[2])
        keep = error < max(2.5 * 1.4826 * float(np.median(error)), 0.3)
    return circle, int((error < max(1.0, 0.003 * circle[2])).sum())
