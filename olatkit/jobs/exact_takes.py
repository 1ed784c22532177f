"""The take of a simulated actor as a perfect stage would give it: every light alone, at the reference instants."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olatkit import __version__
from olatkit.imageset import CLIPPED_CODES
from olatkit.io import codes as radiance_codes
from olatkit.io.light_parts import NO_TICK
from olatkit.io.take_writing import ImagesetRows, TakeHeader, merge_parts, part_is_whole, write_part
from olatkit.io.truth_labels import write_truth_labels
from olatkit.simulate.cast import Actor
from olatkit.simulate.ict_subject import make_subject
from olatkit.simulate.stage import Stage

if TYPE_CHECKING:
    from olatkit.jobs.simulate_set import SetPlan


def take_path(folder: Path, name: str) -> Path:
    """Where the take of an actor lies."""
    return folder / f"{name}.olat.h5"


def truth_path(folder: Path, name: str) -> Path:
    """Where the true labels of an actor lie."""
    return folder / f"{name}.truth.h5"


def make_take(plan: "SetPlan", actor: Actor, folder: Path, digest: str) -> None:
    """Render the imagesets of an actor that are missing, and join them; the truth first, the take last.

    Instants lie one stride apart, as an ingest would place them. Imagesets of an interrupted run are kept.
    """
    subject = make_subject(
        actor.seed, plan.size, speed_px=actor.speed_px, expression=plan.expression, device=plan.device,
        face_model=plan.face_model,
    )
    stage = Stage(subject, plan.rig, plan.schedule)
    ticks = [number * plan.schedule.stride for number in range(plan.imagesets)]
    header = _header(plan, actor, stage, digest)
    parts_folder = folder / f"{actor.name}.parts"
    parts_folder.mkdir(exist_ok=True)
    parts = [parts_folder / f"{number:06d}.h5" for number in range(plan.imagesets)]
    for part, tick in zip(parts, ticks, strict=True):
        if not part_is_whole(part, digest):
            codes, rows = exact_imageset(stage, tick)
            write_part(part, codes, rows, header, digest)
    times = [stage.time_s(tick) for tick in ticks]
    write_truth_labels(
        truth_path(folder, actor.name), ticks, np.stack([subject.labels(t) for t in times]),
        np.stack([subject.alpha(t) for t in times]), overwrite=True,
    )
    merge_parts(parts, take_path(folder, actor.name), header, overwrite=True)
    for part in parts:
        part.unlink()
    parts_folder.rmdir()


def exact_imageset(stage: Stage, tick: int) -> tuple[np.ndarray, ImagesetRows]:
    """Codes (L, H, W, 3) and rows of an imageset at a tick of the stage's clock.

    No camera looked, so there are no observations; flags say which lights exceed the codes.
    """
    radiance = stage.olat(tick)
    coded = [radiance_codes.encode(image) for image in radiance]
    beyond = np.array([count for _, count in coded])
    lights = len(radiance)
    rows = ImagesetRows(
        full=np.einsum("lhwc,lc->hwc", radiance, stage.lamp.astype(np.float32)),
        quality=np.where(beyond > 0, CLIPPED_CODES, 0).astype(np.uint8),
        observations=np.full((lights, 2), NO_TICK, np.int32), weights_after=np.zeros(lights, np.float32),
        reference_frames=-1, reference_ticks=tick, times_s=stage.time_s(tick),
        stats={"beyond_codes": float(beyond.sum())},
    )
    return np.stack([codes for codes, _ in coded]), rows


def _header(plan: "SetPlan", actor: Actor, stage: Stage, digest: str) -> TakeHeader:
    """The whole picture is stored, in codes."""
    notes = {
        "command": "simulate", "olatkit": __version__, "subject": actor.name, "split": actor.split, "digest": digest,
        "actor": stage.subject.description, "radiance_to_full_scale": stage.exposure,
    }
    rate = plan.schedule.frame_rate_hz / plan.schedule.stride
    return TakeHeader(plan.rig, stage.schedule, plan.size, (0, 0, *plan.size), rate, notes=notes)
