"""A small raw take on disk: 18 lights, a cycle of 20 frames, a textured sphere behind a Bayer sensor.

Small enough to be ingested in a fraction of a second, and everything that a large take has: tracking frames, a
phase to be found, windows that overlap, several imagesets, motion.
"""

from pathlib import Path

import numpy as np
from synthetic import SphereStage, leak, slide

from olatkit.io.cine_writer import write_cine
from olatkit.io.documents import write_rig, write_schedule
from olatkit.rig import default_rig
from olatkit.schedule import LightingSchedule, grouped_schedule

BLACK, WHITE = 64, 4095
LIGHTS = 18
PHASE = 7
FRAMES = 90
IMAGESETS = 7  # reference instants 10 frames from both ends: ticks 17, 27 ... 77
GBRG = np.array([[1, 2], [0, 1]])


def small_schedule(**given) -> LightingSchedule:
    """Two groups of one tracking and nine single-light frames; an imageset every 10 frames."""
    order = np.random.default_rng(5).permutation(LIGHTS)
    return grouped_schedule(order, **{"group": 9, "tracking_gain": 0.12, "stride": 10, **given})


def small_stage(**given) -> SphereStage:
    """The stage; ``given`` replaces fields of :class:`SphereStage`."""
    fields = {"motion": slide(30, 0), "phase": PHASE, **given}
    return SphereStage(default_rig(LIGHTS), fields.pop("schedule", small_schedule()), **fields)


def mosaic(frames: np.ndarray) -> np.ndarray:
    """One colour per pixel of (N, H, W, 3), pattern gbrg."""
    channel = np.tile(GBRG, (frames.shape[1] // 2, frames.shape[2] // 2))
    return np.take_along_axis(frames, channel[None, ..., None], axis=3)[..., 0]


def raw_frames(stage: SphereStage, count: int = FRAMES, *, exposure: float = 1.0, crosstalk: float = 0.0) -> np.ndarray:
    """Sensor values (N, H, W) uint16, 12 bits, clipped as a sensor clips."""
    frames = leak(stage.frames(count), crosstalk) if crosstalk else stage.frames(count)
    return np.clip(np.round(mosaic(frames) * exposure * (WHITE - BLACK) + BLACK), 0, WHITE).astype(np.uint16)


def write_take(
    folder: Path, stage: SphereStage | None = None, *, count: int = FRAMES, keep: np.ndarray | None = None,
    timestamps: bool = True, **camera,
) -> Path:
    """Write ``take.cine``, ``rig.json`` and ``schedule.json``; ``keep`` lists the frames that were not dropped."""
    stage = stage or small_stage()
    kept = np.arange(count) if keep is None else np.asarray(keep)
    raw = raw_frames(stage, count, **camera)[kept]
    write_cine(
        folder / "take.cine", raw, frame_rate_hz=1000.0, bayer="gbrg", packing="p12l", bits=12, black_level=BLACK,
        white_level=WHITE, times_s=kept / 1000 if timestamps else None,
    )
    write_rig(folder / "rig.json", stage.rig)
    write_schedule(folder / "schedule.json", stage.schedule)
    return folder


def arguments(folder: Path, out: Path, *more: str) -> list[str]:
    """The command line that ingests the take of ``folder``."""
    return [
        "ingest", str(folder / "take.cine"), "--rig", str(folder / "rig.json"), "--schedule",
        str(folder / "schedule.json"), "-o", str(out), "--no-report", *more,
    ]
