"""The package's simulated head as a scene for ``capture_quality.py``: the motion, lights and camera of the reference head.

The head swings as that of ``reference_head.py`` does, at 1.2 Hz, half of the peak image speed from sliding and half from
turning, and is filmed by the same camera without a mosaic. It differs in what is filmed: a face with eyes, ears and lips,
strands of hair finer than a pixel that are cut out of their surface, a neck that bends while the shoulders stand still,
GGX highlights on skin and hair that exceed full scale here and there, and cast shadows from shadow maps, the largest one
of the head on the neck. The face rests, as the reference head has no expression. Two things are as on the simulated stage:
the lens blurs by 0.6 px, without which strands would flicker in a way that no camera sees, and the truth ends at full
scale, as every frame does.
"""

import cv2
import numpy as np
from reference_head import FREQUENCY_HZ, LEVEL, LIGHTS, TRACKING_LEVEL, Camera, evaluate

from olatkit.schedule import default_114
from olatkit.simulate.pose import Pose
from olatkit.simulate.subject import Subject
from olatkit.simulate.texture import LABELS

__all__ = ["BARS", "LIGHTS", "MARGIN_OVER_NONE", "evaluate", "parts", "setup"]

IDENTITY = 1
# From the axis in the neck about which the head turns to the middle of the face [m].
RADIUS_M = 0.10
LENS_BLUR_PX = 0.6
# Bars in dB (A, B, C, D) by peak speed at 128 px: what the default reaches (51.5/50.8/59.2/54.3, 39.5/40.0/44.0/42.7,
# 35.6/35.2/41.0/40.2) less 0.8 on A and B, less 1.5 on C and D (less 2.8 for a still head).
BARS = {0: (50.7, 50.0, 56.4, 51.5), 30: (38.7, 39.2, 42.5, 41.2), 100: (34.8, 34.4, 39.5, 38.7)}
MARGIN_OVER_NONE = {30: 10.0, 100: 13.0}


class Swing:
    """The reference head's motion as a pose by time; ``slide_m`` is half the way of the swing that is sliding."""

    amplitude, expression = 1.0, 0.0

    def __init__(self, slide_m: float, start: float) -> None:
        self.slide_m, self.start = slide_m, start

    def __call__(self, time_s: float) -> Pose:
        omega = 2 * np.pi * FREQUENCY_HZ
        swing = np.sin(omega * time_s + self.start)
        down = 0.35 * self.slide_m * np.sin(1.7 * omega * time_s + 1)
        return Pose(yaw=float(np.degrees(self.slide_m / RADIUS_M * swing)), shift=(self.slide_m * swing, -down, 0.0))


def setup(size, speed, start=0.0, crosstalk=0.0, noise=True, seed=0):
    """Record frames -120 to 120 around the instant 0; returns what ``reference_head.setup`` returns."""
    subject = Subject(IDENTITY, (size, size), speed_px=0, expression=0)
    subject.motion = Swing(0.5 * speed / (2 * np.pi * FREQUENCY_HZ) * subject.pitch_m, start)
    truth = np.stack([_lens(image) for image in subject.olat(subject.view(0.0), LIGHTS)])
    cover = subject.alpha(0.0)
    exposure = LEVEL / np.percentile(truth[:, cover > 0.5], 99.5)
    tracking = TRACKING_LEVEL / (exposure * np.percentile(truth.sum(axis=0)[cover > 0.5], 99.5))
    camera = Camera(exposure, tracking, noise, np.random.default_rng(seed))
    drive = default_114(tracking).drive
    frames, before = {}, None
    for tick in range(-121, 121):
        weights = np.repeat(drive[tick % len(drive)][:, None], 3, axis=1)
        light = _lens(subject.relight(subject.view(tick / 1000), LIGHTS, weights)).astype(float)
        if before is not None:
            frames[tick] = camera.shoot((1 - crosstalk) * light + crosstalk * before)
        before = light
    mask = cv2.dilate((cover > 0.02).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    return subject, camera, frames, np.minimum(truth * exposure, 1), mask, LEVEL


def parts(subject):
    """Pixels (S, S) bool of every part of the subject at the instant 0, by name; background is what lies around it."""
    labels = subject.labels(0.0)
    return {name: labels == number for number, name in enumerate(LABELS) if (labels == number).any()}


def _lens(image):
    return cv2.GaussianBlur(image, (0, 0), LENS_BLUR_PX, borderType=cv2.BORDER_REPLICATE)
