"""One imageset of a stage's frames, and how far it is from the truth."""

import numpy as np

from olatkit.capture.config import IngestConfig, MotionConfig
from olatkit.capture.demultiplex import Demultiplexer, assemble_imageset
from olatkit.capture.prepare import Calibration, FrameWindow
from olatkit.capture.region import Region
from olatkit.io.sources import ArrayStream

STILL = IngestConfig(motion=MotionConfig(method="none"), crosstalk=0)
MOVING = IngestConfig(crosstalk=0)


def demultiplex(stage, frames, reference, *, ticks=None, phase=None, config=STILL, crosstalk=0.0, ambient=0.0, bad=()):
    """Images (L, H, W, 3), full picture and record of one instant of a stage's frames (N, H, W, 3)."""
    ticks = np.arange(len(frames)) if ticks is None else np.asarray(ticks)
    calibration = Calibration(0.0, 1.0, None, (0, 0, *stage.size), (0, 0, *stage.size), crosstalk=crosstalk)
    window = FrameWindow(ArrayStream(frames, stage.schedule.frame_rate_hz), calibration, ticks)
    usable = frozenset(int(t) for t in ticks) - set(bad)
    region = Region(np.ones(stage.size, bool))
    d = Demultiplexer(
        stage.rig, stage.schedule, stage.phase if phase is None else phase, usable, (int(ticks[0]), int(ticks[-1])),
        float(np.percentile(stage.frame(int(stage.phase)), 99.5)), region, config, ambient,
    )
    images = np.full((len(stage.rig), *stage.size, 3), np.nan, np.float32)

    def store(light, packed):
        images[light] = region.unpack(packed)

    full, record = assemble_imageset(d, window, reference, store)
    return images, full, record


def decibels(got, want):
    return -10 * np.log10(np.square(got - want).mean() / want.max() ** 2)
