"""A light stage in closed form: a moving Lambertian sphere whose exact images are known at every time.

An orthographic camera looks along -Z at a textured sphere lit by distant lights. The sphere slides without turning,
so its true image motion is one vector for the whole silhouette, and under each light the shading slides with it:
motion compensation can be exact up to interpolation. Nothing here is noisy, mosaiced or quantised.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from olatkit.io.sources import ArrayStream
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule


def still(time_s: float) -> tuple[float, float]:
    """No motion."""
    return 0.0, 0.0


def slide(dx_px_s: float, dy_px_s: float) -> Callable[[float], tuple[float, float]]:
    """Uniform motion in px/s, y down."""
    return lambda time_s: (dx_px_s * time_s, dy_px_s * time_s)


def swing(amplitude_px: float, frequency_hz: float) -> Callable[[float], tuple[float, float]]:
    """Horizontal sinusoid."""
    return lambda time_s: (amplitude_px * float(np.sin(2 * np.pi * frequency_hz * time_s)), 0.0)


@dataclass(frozen=True)
class SphereStage:
    """The sphere, its lights and its schedule.

    ``size`` is (H, W); ``radius_px`` the sphere's radius; ``motion(time_s)`` gives the offset (dx, dy) [px, y down] of
    its centre from the middle of the picture; ``texture`` the contrast of its albedo (0 for plain); ``phase`` the
    frame that holds slot 0; ``level`` the radiance of the brightest point of a white, frontally lit sphere.
    """

    rig: LightRig
    schedule: LightingSchedule
    size: tuple[int, int] = (48, 48)
    radius_px: float = 17.0
    motion: Callable[[float], tuple[float, float]] = still
    texture: float = 0.5
    phase: int = 0
    level: float = 0.6

    def time_s(self, frame: int) -> float:
        """Seconds from frame 0."""
        return frame / self.schedule.frame_rate_hz

    def surface(self, time_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Normals (H, W, 3), albedo (H, W, 3) and mask (H, W) at pixel centres, all 0 outside."""
        height, width = self.size
        dx, dy = self.motion(time_s)
        y, x = np.mgrid[0:height, 0:width].astype(float)
        nx = (x - (width - 1) / 2 - dx) / self.radius_px
        ny = -(y - (height - 1) / 2 - dy) / self.radius_px
        mask = nx**2 + ny**2 < 1
        nz = np.sqrt(np.where(mask, 1 - nx**2 - ny**2, 0))
        normals = np.stack([nx, ny, nz], -1) * mask[..., None]
        # Waves fixed to the surface, about six pixels long at the default size.
        wave = np.stack([np.sin(17 * nx + 5 * ny + 1), np.sin(16 * ny - 6 * nx), np.sin(12 * nx - 13 * ny + 2)], -1)
        albedo = np.array([0.7, 0.55, 0.45]) * (1 + self.texture * wave * np.array([1, 0.8, 0.9])) / (1 + self.texture)
        return normals, albedo * mask[..., None], mask

    def olat(self, time_s: float) -> np.ndarray:
        """Every light alone at unit drive, gains and dead lights included, (L, H, W, 3) float64."""
        normals, albedo, _ = self.surface(time_s)
        cosine = np.clip(np.einsum("hwk,lk->lhw", normals, self.rig.directions), 0, None)
        lamp = self.rig.gains * self.rig.enabled[:, None]
        return self.level * cosine[..., None] * albedo * lamp[:, None, None]

    def frame(self, index: int) -> np.ndarray:
        """Linear RGB frame (H, W, 3) float64 that the camera sees at a frame index."""
        drive = self.schedule.drive[(index - self.phase) % self.schedule.cycle]
        return np.einsum("l,lhwc->hwc", drive, self.olat(self.time_s(index)))

    def frames(self, count: int) -> np.ndarray:
        """The first ``count`` frames, (N, H, W, 3) float32."""
        return np.stack([self.frame(n) for n in range(count)]).astype(np.float32)

    def stream(self, count: int, *, keep: np.ndarray | None = None) -> ArrayStream:
        """The frames as a stream; ``keep`` lists the frame indices that were not dropped (default all)."""
        kept = np.arange(count) if keep is None else np.asarray(keep)
        frames = np.stack([self.frame(int(n)) for n in kept]).astype(np.float32)
        return ArrayStream(frames, self.schedule.frame_rate_hz, times_s=(kept - kept[0]) / self.schedule.frame_rate_hz)

    def flow(self, time0_s: float, time1_s: float) -> np.ndarray:
        """Exact flow (H, W, 2) on the grid of time 0: pixel x is found at x + flow at time 1; 0 outside."""
        a, b = np.array(self.motion(time0_s)), np.array(self.motion(time1_s))
        return self.surface(time0_s)[2][..., None] * (b - a)


def leak(frames: np.ndarray, share: float) -> np.ndarray:
    """Crosstalk y_n = (1 - share) x_n + share x_(n-1), with x_(-1) = 0."""
    before = np.concatenate([np.zeros_like(frames[:1]), frames[:-1]])
    return (1 - share) * frames + share * before
