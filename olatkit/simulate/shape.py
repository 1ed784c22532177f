"""The head's rest shape: a signed-distance field sampled along rays, plus parametric ears, eyes, neck and shoulders.

Metres; origin between the ears, +X right in the picture, +Y up, +Z to the camera. Every part is a grid of points
(rows, columns, 3), so that a texture and blend weights are functions of the rest position.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.interpolate import PchipInterpolator

from olatkit.simulate.identity import Identity

# Landmarks of the average head [m].
EYE_Y, EYE_Z, EYE_RADIUS = 0.014, 0.0630, 0.0142
BROW_Y, MOUTH_Y = 0.036, -0.0590
JAW_HINGE = (0.0, -0.012, -0.004)


@dataclass(frozen=True)
class Features:
    """Landmarks of one head [m], shared by its shape, texture and motion."""

    eye_x: float
    eye_half_width: float
    mouth_half_width: float
    lip: float

    def mouth_line(self, x: np.ndarray) -> np.ndarray:
        """Height of the line between the lips."""
        across = np.clip(np.abs(x) / self.mouth_half_width, 0, 1)
        return MOUTH_Y - 0.0008 + 0.0012 * across**2

    def lid_heights(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Heights of the lower and upper lid over the eye's centre at |x|; equal beyond the corners."""
        across = (np.abs(x) - self.eye_x) / self.eye_half_width
        inside = np.clip(1 - across**2, 0, None)
        tilt = 0.0010 * np.clip(across, -1.3, 1.3)
        size = self.eye_half_width / 0.0140
        bend = 0.62 + 0.1 * np.clip(across, -1, 1)
        return tilt - 0.0050 * size * inside**0.8, tilt + 0.0070 * size * inside**bend


def head_features(identity: Identity) -> Features:
    """Landmarks of a person."""
    return Features(
        eye_x=0.0318 * identity.eye_spacing, eye_half_width=0.0140 * identity.eye_size,
        mouth_half_width=0.0245 * identity.mouth_width, lip=identity.lip,
    )


def head_numbers(identity: Identity) -> np.ndarray:
    """The identity's numbers in the order that :func:`head_distance` reads them."""
    f = head_features(identity)
    return np.array([
        identity.width, identity.jaw, identity.chin, identity.cheek, identity.brow_ridge, identity.nose_length,
        identity.nose_width, identity.nose_bridge, f.eye_x, identity.eye_size, f.mouth_half_width, identity.lip,
    ])


@njit(cache=True, nogil=True)
def _ellipsoid(x, y, z, cx, cy, cz, rx, ry, rz):
    """Approximate signed distance to an ellipsoid."""
    x, y, z = x - cx, y - cy, z - cz
    k0 = math.sqrt((x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2)
    k1 = math.sqrt((x / rx**2) ** 2 + (y / ry**2) ** 2 + (z / rz**2) ** 2)
    return k0 * (k0 - 1) / max(k1, 1e-9)


@njit(cache=True, nogil=True)
def _capsule(x, y, z, ax, ay, az, ra, bx, by, bz, rb):
    """Signed distance to a capsule whose radius goes from ``ra`` at a to ``rb`` at b."""
    dx, dy, dz = bx - ax, by - ay, bz - az
    h = ((x - ax) * dx + (y - ay) * dy + (z - az) * dz) / (dx * dx + dy * dy + dz * dz)
    h = min(max(h, 0.0), 1.0)
    gap = math.sqrt((x - ax - h * dx) ** 2 + (y - ay - h * dy) ** 2 + (z - az - h * dz) ** 2)
    return gap - (ra + h * (rb - ra))


@njit(cache=True, nogil=True)
def _join(a, b, k):
    """Smooth union with a fillet of size ``k``."""
    h = max(k - abs(a - b), 0.0) / k
    return min(a, b) - h * h * k * 0.25


@njit(cache=True, nogil=True)
def _carve(a, b, k):
    """Smooth subtraction of ``b`` from ``a``."""
    return -_join(-a, b, k)


@njit(cache=True, nogil=True)
def head_distance(x, y, z, numbers):
    """Signed distance [m] to the bald head without ears, symmetric in x."""
    width, jaw, chin, cheek, ridge, nose_length, nose_width, bridge, eye_x, eye_size, mouth, lip = numbers
    x = abs(x)
    d = _ellipsoid(x, y, z, 0.0, 0.037, -0.010, 0.0745 * width, 0.087, 0.098)
    d = _join(d, _ellipsoid(x, y, z, 0.0, 0.040, 0.040, 0.058 * width, 0.055, 0.048), 0.03)  # forehead
    d = _join(d, _ellipsoid(x, y, z, 0.0, -0.030, 0.022, 0.058 * width, 0.075, 0.061), 0.03)  # face
    d = _join(d, _capsule(x, y, z, 0.046 * jaw, -0.050, 0.004, 0.015, 0.015 * jaw, -0.092, 0.060, 0.011), 0.035)
    d = _join(d, _ellipsoid(x, y, z, 0.0, -0.0935, 0.0655, 0.018 * jaw, 0.0150 * chin, 0.0145 * chin), 0.022)
    d = _join(d, _ellipsoid(x, y, z, 0.045 * width, -0.012, 0.052, 0.019, 0.015 * cheek, 0.021 * cheek), 0.03)
    d = _join(d, _ellipsoid(x, y, z, 0.034, -0.042, 0.054, 0.020, 0.024, 0.020), 0.03)  # fullness below the cheek
    # Eyes: a socket under the brow ridge, then lids over the eyeball.
    d = _carve(d, _ellipsoid(x, y, z, eye_x, EYE_Y - 0.001, 0.099, 0.0200, 0.0135, 0.0170), 0.020)
    d = _join(d, _ellipsoid(x, y, z, 0.024, 0.0335, 0.0745, 0.026, 0.0075 * ridge, 0.0130 * ridge), 0.016)
    lid = EYE_RADIUS * eye_size + 0.0008
    ball = math.sqrt((x - eye_x) ** 2 + (y - EYE_Y) ** 2 + (z - EYE_Z) ** 2) - lid
    d = _join(d, ball, 0.010)
    # Nose: bridge, tip, wings, nostrils.
    tip_y, tip_z = 0.016 - 0.041 * nose_length, 0.0995 + 0.004 * (bridge - 1) / 0.1
    nose = _capsule(x, y, z, 0.0, 0.020, 0.0805, 0.0062 * nose_width, 0.0, tip_y, tip_z, 0.0085 * nose_width)
    ball = _ellipsoid(x, y, z, 0.0, tip_y - 0.001, tip_z + 0.001, 0.0098 * nose_width, 0.0085, 0.0095)
    wing = _ellipsoid(x, y, z, 0.0128 * nose_width, tip_y - 0.004, tip_z - 0.0125, 0.0062 * nose_width, 0.0068, 0.0095)
    nose = _join(_join(nose, ball, 0.008), wing, 0.006)
    d = _join(d, nose, 0.013)
    nostril = _ellipsoid(x, y, z, 0.0060 * nose_width, tip_y - 0.0105, tip_z - 0.005, 0.0030, 0.0028, 0.0045)
    d = _carve(d, nostril, 0.003)
    # Mouth: a mound, the philtrum, two lips and the fold below them.
    d = _join(d, _ellipsoid(x, y, z, 0.0, MOUTH_Y + 0.001, 0.0700, 0.030, 0.022, 0.0185), 0.018)
    d = _carve(d, _capsule(x, y, z, 0.0, -0.041, 0.0955, 0.0020, 0.0, -0.049, 0.0960, 0.0022), 0.006)
    bow = 0.0012 * math.cos(x / mouth * 9.0) if x < 0.35 * mouth else -0.0010
    falls = x / mouth
    back = 0.0075 * falls * falls
    upper = _ellipsoid(x, y, z + back, 0.0, MOUTH_Y + 0.0042 + bow, 0.0868, 0.96 * mouth, 0.0050 * lip, 0.0056 * lip)
    lower = _ellipsoid(x, y, z + back, 0.0, MOUTH_Y - 0.0062, 0.0862, 0.80 * mouth, 0.0056 * lip, 0.0062 * lip)
    d = _join(d, upper, 0.0045)
    d = _join(d, lower, 0.0045)
    between = _capsule(x, y, z, 0.0, MOUTH_Y - 0.0005, 0.0985, 0.0058, mouth, MOUTH_Y - 0.0015, 0.0895, 0.0045)
    d = _carve(d, between, 0.004)
    return _carve(d, _ellipsoid(x, y, z, 0.0, -0.0780, 0.0985, 0.018, 0.0060, 0.0130), 0.012)


@njit(cache=True, nogil=True)
def _ray_radii(directions, numbers):
    """Distance from the origin to the outermost surface along each direction (N, 3)."""
    radii = np.empty(len(directions))
    for n in range(len(directions)):
        dx, dy, dz = directions[n]
        r = 0.16
        for _ in range(120):
            gap = head_distance(r * dx, r * dy, r * dz, numbers)
            r -= 0.55 * gap
            if abs(gap) < 1e-6:
                break
        radii[n] = r
    return radii


def _dense_axis(low: float, high: float, count: int, centre: float, spread: float, share: float) -> np.ndarray:
    """``count`` angles from ``low`` to ``high``, denser around ``centre`` by a Gaussian of weight ``share``."""
    fine = np.linspace(low, high, 4001)
    bell = np.exp(-0.5 * ((fine - centre) / spread) ** 2) / (spread * math.sqrt(2 * np.pi))
    density = (1 - share) / (high - low) + share * bell
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(np.linspace(0, 1, count), cumulative / cumulative[-1], fine)


def star_directions(rows: int, columns: int) -> np.ndarray:
    """Unit directions (rows, columns, 3) around the head, densest over the face; first and last column coincide."""
    elevation = -_dense_axis(np.radians(-89.9), np.radians(80), rows, np.radians(12), np.radians(26), 0.55)
    azimuth = _dense_axis(-np.pi, np.pi, columns, 0.0, np.radians(33), 0.62)
    el, az = elevation[:, None], azimuth[None]
    return np.stack([np.cos(el) * np.sin(az), np.sin(el) * np.ones_like(az), np.cos(el) * np.cos(az)], -1)


def head_grid(identity: Identity, rows: int, columns: int) -> np.ndarray:
    """Points of the bald head without ears, (rows, columns, 3)."""
    directions = star_directions(rows, columns)
    radii = _ray_radii(directions.reshape(-1, 3), head_numbers(identity)).reshape(rows, columns, 1)
    return directions * radii


def eye_grid(identity: Identity, side: int, rows: int, columns: int) -> np.ndarray:
    """Points of an eyeball with its cornea; the rows run from the pupil to the back. ``side`` is -1 or +1."""
    radius = EYE_RADIUS * identity.eye_size
    angle = np.linspace(0, 0.62 * np.pi, rows)[:, None]
    turn = np.linspace(0, 2 * np.pi, columns)[None]
    bulge = 0.05 * np.exp(-((angle / 0.42) ** 4))
    r = radius * (1 + bulge)
    centre = np.array([side * head_features(identity).eye_x, EYE_Y, EYE_Z])
    off = np.sin(angle)
    ring = np.stack([off * np.cos(turn), off * np.sin(turn), np.cos(angle) * np.ones_like(turn)], -1)
    return centre + r[..., None] * ring


def ear_grid(identity: Identity, side: int, rows: int, columns: int) -> np.ndarray:
    """Points of an ear, a flattened sphere with a rim and a hollow."""
    angle = np.linspace(0, np.pi, rows)[:, None]
    turn = np.linspace(0, 2 * np.pi, columns)[None]
    reach = np.sin(angle) ** 0.8
    up, back = np.sin(turn), np.cos(turn)
    height = reach * up * np.where(up > 0, 0.031, 0.030)
    breadth = reach * back * (0.0165 + 0.0045 * up)
    outside = np.cos(angle)
    rim = 0.0032 * np.exp(-(((reach - 0.86) / 0.10) ** 2)) * (back > -0.6)
    rim = rim + 0.0018 * np.exp(-(((reach - 0.55) / 0.08) ** 2)) * (back > 0)
    hollow = -0.0075 * np.exp(-((reach * back + 0.15) ** 2 + (reach * up + 0.10) ** 2) / 0.13)
    thick = 0.0042 * outside + np.where(outside > 0, rim + hollow, 0.0) * np.ones_like(turn)
    tilt = np.radians(26)
    back_axis = np.array([side * np.sin(tilt), 0.0, -np.cos(tilt)])
    out_axis = np.array([side * np.cos(tilt), 0.0, np.sin(tilt)])
    up_axis = np.array([0.0, 0.985, -0.17])
    centre = np.array([side * 0.0775 * identity.width, -0.002, -0.012])
    return centre + height[..., None] * up_axis + breadth[..., None] * back_axis + thick[..., None] * out_axis


# Cross-sections of neck and shoulders: height, half width, half depth, middle in z [m].
_TRUNK = np.array([
    [-0.030, 0.048, 0.050, -0.020], [-0.075, 0.050, 0.052, -0.022], [-0.120, 0.053, 0.054, -0.026],
    [-0.142, 0.066, 0.056, -0.029], [-0.160, 0.100, 0.063, -0.032], [-0.178, 0.145, 0.073, -0.034],
    [-0.198, 0.180, 0.083, -0.035], [-0.235, 0.203, 0.095, -0.035], [-0.300, 0.215, 0.110, -0.035],
])


def trunk_grid(identity: Identity, rows: int, columns: int) -> np.ndarray:
    """Points of neck and shoulders, rows downward, columns around starting at the back."""
    y = np.linspace(_TRUNK[0, 0], _TRUNK[-1, 0], rows)
    a, b, middle = PchipInterpolator(-_TRUNK[:, 0], _TRUNK[:, 1:])(-y).T
    a = a * (1 + 0.7 * (identity.jaw - 1))
    turn = np.linspace(-np.pi, np.pi, columns)[None]
    cosine, sine = np.cos(turn), np.sin(turn)
    square = 0.85
    x = a[:, None] * np.sign(sine) * np.abs(sine) ** square
    z = middle[:, None] + b[:, None] * np.sign(cosine) * np.abs(cosine) ** square
    # Sternomastoid cords and the hollow between the collar bones.
    lift = np.exp(-(((y[:, None] + 0.125) / 0.028) ** 2))
    cord = np.exp(-(((np.abs(turn) - 0.42 - 0.8 * (y[:, None] + 0.15) / 0.08 * 0.4) / 0.16) ** 2))
    z = z + lift * (0.0055 * cord - 0.004 * np.exp(-((turn / 0.22) ** 2)))
    return np.stack([x, np.broadcast_to(y[:, None], x.shape), z], -1)


def mouth_grid(identity: Identity, rows: int, columns: int) -> np.ndarray:
    """Points of the inside of the mouth: a curved wall behind the lips, upper teeth at its top."""
    v = np.linspace(0, 1, rows)[:, None]
    u = np.linspace(-1, 1, columns)[None]
    half = 1.08 * head_features(identity).mouth_half_width
    x = half * u * np.ones_like(v)
    y = MOUTH_Y + 0.011 - 0.026 * v * np.ones_like(u)
    z = 0.0815 - 0.016 * u**2 - 0.012 * np.clip(v - 0.42, 0, 1) ** 0.5 * (1 - u**2)
    return np.stack([x, y, z], -1)
