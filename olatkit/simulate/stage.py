"""A light stage made of numbers: subject, rig, schedule and sensor give a frame for every tick of the camera."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from olatkit.errors import ConfigError
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule
from olatkit.simulate.sensor import Sensor
from olatkit.simulate.subject import Subject
from olatkit.wording import counted

# Ambient light comes from these directions, strongest from above, like a room.
_AMBIENT_DIRECTIONS = np.array([[0, 1, 0], [0.8, 0.3, 0.52], [-0.8, 0.3, 0.52], [0, -0.6, 0.8]], float)
_AMBIENT_WEIGHTS = np.array([0.5, 0.3, 0.3, 0.15])
_MATTE_LEVEL = 0.6


@dataclass(frozen=True)
class Disturbances:
    """What goes wrong on a real stage; all off by default.

    Parameters
    ----------
    crosstalk : float
        Share ε of a frame's exposure during which the lights of the slot before still glow:
        drive_n = (1 - ε) drive_n + ε drive_(n-1).
    ambient : float
        Brightness of constant room light: its 99.5th percentile relative to that of single-light frames.
    drop : float
        Share of frames that the camera loses, in runs of one to three.
    flicker : float
        Relative ripple of all lights at 100 Hz.
    seed : int
        Which frames are lost.
    """

    crosstalk: float = 0.0
    ambient: float = 0.0
    drop: float = 0.0
    flicker: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        for label, top in (("crosstalk", 0.5), ("ambient", 10.0), ("drop", 0.9), ("flicker", 1.0)):
            value = getattr(self, label)
            if not 0 <= value < top:
                raise ConfigError(f"{label} is {value}, expected 0 to {top}")

    def dropped_ticks(self, ticks: int) -> np.ndarray:
        """Sorted ticks that are lost among ``ticks``; never the first or the last."""
        rng = np.random.default_rng([self.seed, 6])
        lost: set[int] = set()
        while len(lost) < round(self.drop * ticks) and ticks > 5:
            first = int(rng.integers(1, ticks - 3))
            lost.update(range(first, first + int(rng.integers(1, 4))))
        return np.array(sorted(lost), np.int64)


class Stage:
    """Subject, lights and camera together.

    Parameters
    ----------
    subject : Subject
        Who is filmed.
    rig : LightRig
        Lights; they are distant, only their directions count. Gains and dead lights are honoured.
    schedule : LightingSchedule
        Its tracking drives are scaled as a whole so that the brightest tracking frame shows a 99.5th percentile of
        ``tracking_level``; :attr:`schedule` holds the result.
    sensor : Sensor, optional
        Camera.
    phase : int
        Tick that holds slot 0 of the cycle.
    disturbances : Disturbances, optional
        Crosstalk, ambient light and the like.
    lens_blur_px : float
        Standard deviation of the blur of lens and optical low-pass filter; pictures and truth have it alike.
    level, tracking_level : float
        99.5th percentile of single-light frames (of ``mix`` frames in a multiplexed schedule) and of tracking frames
        inside the subject's silhouette, relative to full scale.

    Raises
    ------
    ConfigError
        Rig and schedule disagree in the number of lights.
    """

    def __init__(
        self, subject: Subject, rig: LightRig, schedule: LightingSchedule, *, sensor: Sensor | None = None,
        phase: int = 0, disturbances: Disturbances | None = None, lens_blur_px: float = 0.6, level: float = 0.6,
        tracking_level: float = 0.7,
    ) -> None:
        if len(rig) != schedule.n_lights:
            raise ConfigError(
                f"rig '{rig.name}' has {counted(len(rig), 'light')}, schedule '{schedule.name}' expects "
                f"{schedule.n_lights}; "
                "use the pair that belongs together"
            )
        self.subject, self.rig = subject, rig
        self.sensor = sensor or Sensor()
        self.disturbances = disturbances or Disturbances()
        self.phase = int(phase) % schedule.cycle
        self.lens_blur_px = lens_blur_px
        assert rig.gains is not None
        assert rig.enabled is not None
        self.lamp = rig.gains * rig.enabled[:, None]
        self.schedule, self.exposure, self.ambient = self._calibrate(schedule, level, tracking_level)

    def _calibrate(
        self, schedule: LightingSchedule, level: float, tracking_level: float
    ) -> tuple[LightingSchedule, float, float]:
        """Schedule with its tracking drive, radiance-to-full-scale factor and ambient irradiance."""
        view = self.subject.view(0.0)
        inside = self.subject.alpha(0.0) > 0.5
        images = self.subject.olat(view, self.rig.directions)
        for image in images:
            self.blur(image)
        images = images[:, inside] * self.lamp[:, None].astype(np.float32)
        coded = images
        if schedule.is_multiplexed:
            patterns = schedule.drive[schedule.coded_slots][:16].astype(np.float32)
            coded = np.einsum("sl,lpc->spc", patterns, images)
        exposure = level / float(np.percentile(coded[self.lamp.any(1)] if coded is images else coded, 99.5))
        tracks = [slot.gain for slot in schedule.slots if slot.kind == "track"]
        if tracks:
            bright = float(np.percentile(images.sum(0), 99.5)) * exposure * max(tracks)
            factor = tracking_level / bright
            slots = [replace(s, gain=s.gain * factor) if s.kind == "track" else s for s in schedule.slots]
            schedule = replace(schedule, slots=slots, phase=0)
        ambient = 0.0
        if self.disturbances.ambient:
            room = self.subject.relight(view, _ambient_directions(), _white(_AMBIENT_WEIGHTS))
            self.blur(room)
            ambient = self.disturbances.ambient * level / exposure / float(np.percentile(room[inside], 99.5))
        return schedule, exposure, ambient

    def time_s(self, tick: int) -> float:
        """Seconds since tick 0."""
        return tick / self.schedule.frame_rate_hz

    def drive(self, tick: int) -> np.ndarray:
        """Drive of every light during a frame, shape (L,), crosstalk and flicker included."""
        eps, slot = self.disturbances.crosstalk, (tick - self.phase) % self.schedule.cycle
        drive = (1 - eps) * self.schedule.drive[slot] + eps * self.schedule.drive[slot - 1]
        return drive * (1 + self.disturbances.flicker * np.sin(2 * np.pi * 100.0 * self.time_s(tick)))

    def light(self, tick: int) -> np.ndarray:
        """Noise-free picture of a tick, (H, W, 3) float32, 1.0 = full scale."""
        view = self.subject.view(self.time_s(tick))
        weights = self.drive(tick)[:, None] * self.lamp
        picture = self.subject.relight(view, self.rig.directions, weights)
        if self.ambient:
            picture += self.subject.relight(view, _ambient_directions(), _white(_AMBIENT_WEIGHTS * self.ambient))
        picture *= np.float32(self.exposure)
        self.blur(picture)
        if self.schedule.slots[(tick - self.phase) % self.schedule.cycle].kind == "matte":
            picture += np.float32(_MATTE_LEVEL) * (1 - self.subject.alpha(self.time_s(tick)))[..., None]
        return picture

    def frame(self, tick: int) -> np.ndarray:
        """Raw Bayer frame of a tick, (H, W) uint16; depends on nothing but the stage and the tick."""
        return self.sensor.expose(self.light(tick), tick)

    def olat(self, tick: int) -> np.ndarray:
        """Exact answer at a tick: every light alone at unit drive and gain, (L, H, W, 3) float32, 1.0 = full scale."""
        view = self.subject.view(self.time_s(tick))
        images = self.subject.olat(view, self.rig.directions)
        images *= np.float32(self.exposure)
        for image in images:
            self.blur(image)
        return images

    def blur(self, picture: np.ndarray) -> None:
        """Blur of the lens, in place: without it a mosaic sees detail that no camera passes on."""
        import cv2

        if self.lens_blur_px:
            cv2.GaussianBlur(picture, (0, 0), self.lens_blur_px, dst=picture, borderType=cv2.BORDER_REPLICATE)

    def reference_ticks(self, ticks: int) -> np.ndarray:
        """Ticks of the imagesets that a recording of ``ticks`` allows: whole centred windows of one cycle."""
        half = self.schedule.cycle // 2
        every = np.arange(self.phase % self.schedule.stride, ticks, self.schedule.stride)
        return every[(every >= half) & (every + half <= ticks - 1)]


def choose_references(ticks: Sequence[int] | np.ndarray, count: int | None) -> np.ndarray:
    """``count`` ticks spread evenly over the given ones; all of them if None."""
    ticks = np.asarray(ticks, np.int64)
    if count is None or count >= len(ticks):
        return ticks
    return ticks[np.round(np.linspace(0, len(ticks) - 1, count)).astype(int)] if count else ticks[:0]


def _ambient_directions() -> np.ndarray:
    """Unit directions of the room light."""
    return _AMBIENT_DIRECTIONS / np.linalg.norm(_AMBIENT_DIRECTIONS, axis=1, keepdims=True)


def _white(weights: np.ndarray) -> np.ndarray:
    """The same weight for three channels, (K, 3)."""
    return np.repeat(np.asarray(weights, float)[:, None], 3, axis=1)
