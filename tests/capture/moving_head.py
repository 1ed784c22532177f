"""A small moving, textured, Lambert-shaded head in closed form, and a camera with shot and read noise."""

import numpy as np

from olatkit.geometry import rotation_y


def _texture(point, seed=3):
    """Smooth albedo (..., 3) of a point on the unit sphere, dark hair above and behind."""
    rng = np.random.default_rng(seed)
    value = np.zeros(point.shape[:-1])
    for _ in range(24):
        value += 0.04 * np.sin(point @ rng.normal(0, 7, 3) + rng.uniform(0, 6))
    hair = 1 / (1 + np.exp(-20 * np.maximum(point[..., 1] - 0.55, -point[..., 2] - 0.2)))
    skin = (0.75 + value)[..., None] * np.array([1.0, 0.72, 0.6])
    return skin * (1 - hair[..., None]) + hair[..., None] * np.array([0.17, 0.12, 0.09])


class MovingHead:
    """Ellipsoid with hair that nods sideways and turns at a peak image speed; time in ms, image (S, S, 3)."""

    def __init__(self, rig, size=48, speed_px_s=0.0, start=0.3, bounce=0.0):
        self.rig, self.size, self.start, self.bounce = rig, size, start, bounce
        self.axes = np.array([0.27, 0.37, 0.30]) * size
        self.omega = 2 * np.pi * 1.2e-3
        self.shift = 0.5 * speed_px_s / 1e3 / self.omega
        self.turn = self.shift / self.axes[2]

    def surface(self, tick):
        """Albedo (n, 3), world normals (n, 3) and pixel indices (n,)."""
        swing = np.sin(self.omega * tick + self.start)
        x = np.arange(self.size) + 0.5 - self.size / 2 - self.shift * swing
        y = self.size / 2 - np.arange(self.size) - 0.5 - 0.35 * self.shift * np.sin(1.7 * self.omega * tick + 1)
        x, y = (v.ravel() for v in np.meshgrid(x, y))
        turn = rotation_y(np.degrees(self.turn * swing))
        quadric = turn @ np.diag(self.axes**-2.0) @ turn.T
        a = quadric[2, 2]
        b = quadric[0, 2] * x + quadric[1, 2] * y
        c = quadric[0, 0] * x * x + 2 * quadric[0, 1] * x * y + quadric[1, 1] * y * y - 1
        inside = np.flatnonzero(b * b - a * c > 0)
        z = ((-b + np.sqrt(np.maximum(b * b - a * c, 0))) / a)[inside]
        world = np.stack([x[inside], y[inside], z], axis=1)
        normals = world @ quadric
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return _texture(world @ turn / self.axes), normals, inside

    def shade(self, tick, drive):
        """Image under lights of the given drive (L,), shape (S, S, 3), unit irradiance per light."""
        albedo, normals, inside = self.surface(tick)
        lit = np.flatnonzero(drive)
        power = (np.asarray(drive)[lit, None] * self.rig.gains[lit] * self.rig.enabled[lit, None])
        light = np.maximum(normals @ self.rig.directions[lit].T, 0) @ power
        image = np.zeros((self.size**2, 3))
        image[inside] = albedo * (light + self.bounce * power.sum(0) / len(self.rig))
        return image.reshape(self.size, self.size, 3)


def shoot(head, schedule, ticks, *, phase=0, exposure=0.6, crosstalk=0.0, ambient=0.0, noise=True, seed=0):
    """Frames (N, S, S, 3) as fractions of full scale; slot of tick n is (n - phase) mod P, no gap before the first."""
    rng = np.random.default_rng(seed)
    previous, frames = None, []
    for tick in np.asarray(ticks):
        if crosstalk and (previous is None or tick != last + 1):  # noqa: F821
            previous = head.shade(tick - 1, schedule.drive[(tick - 1 - phase) % schedule.cycle])
        clean = head.shade(tick, schedule.drive[(tick - phase) % schedule.cycle])
        mixed = (1 - crosstalk) * clean + crosstalk * previous if crosstalk else clean
        previous, last = clean, tick  # noqa: F841
        electrons = np.clip((mixed + ambient) * exposure, 0, 4) * 20000
        if noise:
            electrons = rng.poisson(electrons) + rng.normal(0, 20, electrons.shape)
        frames.append(np.minimum(np.round(electrons / 20000 * 4031), 4031) / 4031)
    return np.array(frames, np.float32)
