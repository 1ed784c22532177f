"""A head in closed form for measuring demultiplexers: exact images of every light at every time, and scores.

The head is an ellipsoid with an ellipsoidal nose, textured (skin of all spatial frequencies, hair, brows, eyes,
mouth), seen by an orthographic camera along -Z, lit by distant lights with Lambert and Blinn-Phong (exponent 40)
reflection, attached and cast shadows, and sampled 2x2 per pixel. It swings at 1.2 Hz: half of its peak image speed
comes from sliding, half from turning. The camera has 12 bits, a full well of 20,000 electrons and 20 electrons of read
noise. All lengths are in pixels of the output picture; X right, Y up, Z to the camera.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from olatkit.geometry import rotation_y
from olatkit.rig import default_rig
from olatkit.schedule import default_114

HEAD_AXES = np.array([0.27, 0.37, 0.30])  # shares of the picture's size
NOSE_CENTRE = np.array([0.0, -0.03, 0.285])
NOSE_AXES = np.array([0.045, 0.085, 0.075])
FREQUENCY_HZ = 1.2
SPECULAR, EXPONENT = 0.18, 40
FULL_WELL_E, READ_NOISE_E, BLACK, WHITE = 20_000, 20, 64, 4095
LEVEL = 0.6  # 99.5th percentile of the single-light images, share of full scale
TRACKING_LEVEL = 0.7  # the same of the tracking frames
# Bars in dB (A, B, C, D) by peak speed at 128 px: what direct flow to every tracking frame reaches on this head
# (50.6/49.8/59.8/52.0, 40.3/42.0/40.9/35.1, 38.9/40.5/39.4/32.9), less 0.8 on A and B, less 1.5 on C and D (less 2.8
# for a still head, where they vary with the noise of the flow).
BARS = {0: (49.8, 49.0, 57.0, 49.2), 30: (39.5, 41.2, 39.4, 33.6), 100: (38.1, 39.7, 37.9, 31.4)}
LIGHTS = default_rig().directions
SCHEDULE = default_114()


def make_texture(width=1536, seed=7):
    """Albedo on a lat-long map (width/2, width, 3), longitude 0 (the face) in the middle."""
    rng = np.random.default_rng(seed)
    height = width // 2
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    radius = np.hypot(fx, fy)
    shape = np.where(radius > 1 / width, (radius + 1 / 400) ** -1.2, 0) * np.exp(-2 * (np.pi * 3 * radius) ** 2)
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((height, width))) * shape).real
    noise /= noise.std()
    v, u = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width - 0.5, indexing="ij")
    albedo = np.array([0.76, 0.56, 0.46]) * (0.82 + 0.13 * np.clip(noise, -2.5, 2.5))[..., None]

    def paint(weight, color):
        albedo[:] += np.asarray(weight)[..., None] * (np.asarray(color) - albedo)

    strands = 0.5 + 0.5 * np.sin(2 * np.pi * 140 * u + 3 * noise)
    fringe = 1 / (1 + np.exp((v - 0.3 - 0.02 * np.sin(40 * u)) * 120))
    sides = 1 / (1 + np.exp((0.24 - np.abs(u)) * 120))
    hair = np.clip(fringe + sides, 0, 1)
    paint(hair, np.array([0.16, 0.11, 0.08]) * (0.5 + strands[..., None]))
    for side in (-0.065, 0.065):
        for row, wide, high, color, weight in (
            (0.44, 0.022, 0.013, (0.88, 0.87, 0.84), 0.9), (0.44, 0.009, 0.012, (0.08, 0.06, 0.05), 0.95),
            (0.395, 0.035, 0.009, (0.13, 0.09, 0.07), 0.85),
        ):
            paint(weight * np.exp(-((((u - side) / wide) ** 2 + ((v - row) / high) ** 2) ** 2)), color)
    paint(0.85 * np.exp(-(((u / 0.045) ** 2 + ((v - 0.655) / 0.016) ** 2) ** 2)), (0.62, 0.24, 0.22))
    return np.clip(albedo, 0.02, 0.95).astype(np.float32)


TEXTURE = make_texture()


def _enter_and_leave(origin, direction, centre, axes):
    """Distances at which rays enter and leave an ellipsoid; +inf and -inf where they miss."""
    p, q = (origin - centre) / axes, direction / axes
    a, b, c = (q * q).sum(-1), (p * q).sum(-1), (p * p).sum(-1) - 1
    square = b * b - a * c
    root = np.sqrt(np.maximum(square, 0))
    return np.where(square > 0, (-b - root) / a, np.inf), np.where(square > 0, (-b + root) / a, -np.inf)


@dataclass(frozen=True)
class Surface:
    """What the camera sees at one instant, per sample, in the head's own axes."""

    index: np.ndarray
    point: np.ndarray
    normal: np.ndarray
    nose: np.ndarray
    albedo: np.ndarray
    turn: np.ndarray


class ReferenceHead:
    """The moving head: ``speed`` is its peak image speed [px/s], ``start`` the phase of its swing [rad]."""

    def __init__(self, size, speed, start, samples=2):
        self.size, self.start, self.samples = size, start, samples
        self.axes, self.nose_centre, self.nose_axes = (size * v for v in (HEAD_AXES, NOSE_CENTRE, NOSE_AXES))
        self.omega = 2 * np.pi * FREQUENCY_HZ
        self.slide = 0.5 * speed / self.omega
        self.turn = self.slide / self.axes[2]

    def surface(self, time_s):
        """Visible points at a time."""
        swing = np.sin(self.omega * time_s + self.start)
        dx, dy = self.slide * swing, 0.35 * self.slide * np.sin(1.7 * self.omega * time_s + 1)
        turn = rotation_y(np.degrees(self.turn * swing))
        side = (np.arange(self.size * self.samples) + 0.5) / self.samples - self.size / 2
        x, y = (v.ravel() for v in np.meshgrid(side - dx, -side - dy))
        near = np.flatnonzero((np.abs(x) < 1.25 * self.axes[0]) & (np.abs(y) < 1.05 * self.axes[1]))
        origin = np.stack([x[near], y[near], np.full(len(near), self.size)], axis=1) @ turn
        direction = np.array([0.0, 0, -1]) @ turn
        skull, _ = _enter_and_leave(origin, direction, 0, self.axes)
        nose, _ = _enter_and_leave(origin, direction, self.nose_centre, self.nose_axes)
        hit = np.isfinite(np.minimum(skull, nose))
        on_nose = (nose < skull)[hit]
        point = origin[hit] + np.minimum(skull, nose)[hit, None] * direction
        normal = np.where(on_nose[:, None], (point - self.nose_centre) / self.nose_axes**2, point / self.axes**2)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return Surface(near[hit], point, normal, on_nose, self._albedo(point), turn)

    def _albedo(self, point):
        unit = point / self.axes
        unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
        height, width = TEXTURE.shape[:2]
        u = (np.arctan2(unit[:, 0], unit[:, 2]) / (2 * np.pi) + 0.5) * width - 0.5
        v = np.arccos(np.clip(unit[:, 1], -1, 1)) / np.pi * height - 0.5
        columns = 2048  # cv2.remap takes at most 32767 rows or columns
        padded = np.zeros((2, -(-len(u) // columns) * columns), np.float32)
        padded[:, : len(u)] = u, v
        maps = padded.reshape(2, -1, columns)
        sampled = cv2.remap(TEXTURE, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return sampled.reshape(-1, 3)[: len(u)]

    def shade(self, surface, drive):
        """Picture (size, size, 3) under lights of the given drive (L,)."""
        view = np.array([0, 0, 1.0]) @ surface.turn
        diffuse, gloss = np.zeros(len(surface.point)), np.zeros(len(surface.point))
        for light in np.flatnonzero(drive):
            towards = LIGHTS[light] @ surface.turn
            cosine = surface.normal @ towards
            lit = np.flatnonzero(cosine > 0)
            lit = lit[~self._in_shadow(surface, towards, lit)]
            half = towards + view
            half /= max(np.linalg.norm(half), 1e-9)
            diffuse[lit] += drive[light] * cosine[lit]
            shine = np.maximum(surface.normal[lit] @ half, 0) ** EXPONENT * np.minimum(4 * cosine[lit], 1)
            gloss[lit] += drive[light] * shine
        picture = np.zeros(((self.size * self.samples) ** 2, 3), np.float32)
        picture[surface.index] = surface.albedo * diffuse[:, None] + SPECULAR * gloss[:, None]
        return self._reduced(picture.reshape(self.size * self.samples, -1, 3))

    def _in_shadow(self, surface, towards, lit):
        """Nose on head and head on nose."""
        shaded = np.zeros(len(lit), bool)
        skull = ~surface.nose[lit] & (surface.point[lit, 2] > 0) & (np.abs(surface.point[lit, 0]) < 0.25 * self.size)
        _, leave = _enter_and_leave(surface.point[lit[skull]], towards, self.nose_centre, self.nose_axes)
        shaded[skull] = leave > 1e-2
        nose = surface.nose[lit]
        enter, _ = _enter_and_leave(surface.point[lit[nose]], towards, 0, self.axes)
        shaded[nose] = (enter > 1e-2) & np.isfinite(enter)
        return shaded

    def coverage(self, time_s):
        """Share of every pixel that the head covers, (size, size)."""
        cover = np.zeros((self.size * self.samples) ** 2, np.float32)
        cover[self.surface(time_s).index] = 1
        return self._reduced(cover.reshape(self.size * self.samples, -1))

    def _reduced(self, picture):
        return cv2.resize(picture, (self.size, self.size), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class Camera:
    """Exposure of a frame; ``gt`` is the drive of the tracking frames."""

    exposure: float
    gt: float
    noise: bool
    rng: np.random.Generator

    def shoot(self, light):
        """Linear share of full scale of a picture, with shot noise, read noise, 12 bits and saturation."""
        level = np.clip(light * self.exposure, 0, 4)
        if not self.noise:
            return np.minimum(level, 1).astype(np.float32)
        electrons = self.rng.poisson(level * FULL_WELL_E) + self.rng.normal(0, READ_NOISE_E, level.shape)
        codes = np.clip(np.round(electrons / FULL_WELL_E * (WHITE - BLACK)) + BLACK, 0, WHITE)
        return ((codes - BLACK) / (WHITE - BLACK)).astype(np.float32)


def setup(size, speed, start=0.0, crosstalk=0.0, noise=True, seed=0):
    """Record frames -120 to 120 around the instant 0.

    Returns (head, camera, frames by tick, truth (L, S, S, 3), mask of the silhouette dilated by 3 px, level 1.0).
    """
    head = ReferenceHead(size, speed, start)
    now = head.surface(0.0)
    truth = np.stack([head.shade(now, row) for row in np.eye(len(LIGHTS))])
    cover = head.coverage(0.0)
    exposure = LEVEL / np.percentile(truth[:, cover > 0.5], 99.5)
    tracking = TRACKING_LEVEL / (exposure * np.percentile(truth.sum(axis=0)[cover > 0.5], 99.5))
    camera = Camera(exposure, tracking, noise, np.random.default_rng(seed))
    drive = default_114(tracking).drive
    frames, before = {}, None
    for tick in range(-121, 121):
        light = head.shade(head.surface(tick / 1000), drive[tick % len(drive)])
        if before is not None:
            frames[tick] = camera.shoot((1 - crosstalk) * light + crosstalk * before)
        before = light
    mask = cv2.dilate((cover > 0.02).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    return head, camera, frames, truth * exposure, mask, LEVEL


def make_lighting(seed):
    """Light of every lamp (L, 3) under a random sky of one to three coloured lobes."""
    rng = np.random.default_rng(seed)
    weights = np.full((len(LIGHTS), 1), rng.uniform(0.05, 0.3)) * rng.uniform(0.6, 1, 3)
    for _ in range(rng.integers(1, 4)):
        centre = rng.standard_normal(3)
        centre[2] = 0.5 * (centre[2] + abs(centre[2]))
        centre /= np.linalg.norm(centre)
        strength, narrowness, color = rng.uniform(1, 6), rng.uniform(4, 40), rng.uniform(0.3, 1, 3)
        weights = weights + strength * np.exp(narrowness * (LIGHTS @ centre - 1))[:, None] * color
    return weights.astype(np.float32)


LIGHTINGS = [make_lighting(seed) for seed in range(100, 108)]


def decibels(a, b):
    """PSNR of values whose peak is 1."""
    return float(-10 * np.log10(max(np.mean(np.square(a - b), dtype=np.float64), 1e-12)))


def srgb(x):
    """Encode linear 0..1."""
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)


def evaluate(estimate, truth, mask, level):
    """Scores A (single lights in the mask), B (3 px inside the silhouette), C (relit, linear), D (relit, sRGB), dB."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
    a, b = (np.clip(x / level, 0, 1) for x in (estimate, truth))
    linear, encoded = [], []
    for weights in LIGHTINGS:
        x, y = (np.einsum("lpc,lc->pc", images[:, mask], weights) for images in (estimate, truth))
        white = np.percentile(y, 99) / 0.9
        x, y = np.clip(x / white, 0, 1), np.clip(y / white, 0, 1)
        linear.append(decibels(x, y))
        encoded.append(decibels(srgb(x), srgb(y)))
    scores = decibels(a[:, mask], b[:, mask]), decibels(a[:, inner], b[:, inner])
    return *scores, float(np.mean(linear)), float(np.mean(encoded))
