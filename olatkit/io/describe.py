"""Explain any file that this package writes or reads, by its content as far as possible."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np

from olatkit.errors import FormatError
from olatkit.geometry import latlong_directions
from olatkit.io.documents import read_rig, read_schedule
from olatkit.io.exr import EXR_MAGIC
from olatkit.io.facts import Description, Fact, file_size, number, span, text
from olatkit.io.images import HDR_MAGIC, PICTURE_MAGIC
from olatkit.io.kinds import HDF5_MAGIC
from olatkit.io.sources import VIDEO_SUFFIXES
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule
from olatkit.wording import counted


def describe(path: str | os.PathLike[str]) -> Description:
    """Say what a file or folder is.

    Parameters
    ----------
    path : path
        A capture stream (.cine, .npy or .raw with sidecar, video, folder of images), a take and its report, the truth of
        a simulated take, the parts of an interrupted ingest, import, render or bank, a rig, a schedule, an environment
        map or another picture, a lighting bank, a set of shards or one of them, the folder of a training or a checkpoint,
        settings, a light track, a manifest, a colour matrix, a table of metrics or scores.

    Returns
    -------
    Description

    Raises
    ------
    FormatError, ConfigError
        Missing, damaged, or of no known kind.
    """
    path = Path(path)
    if not path.exists():
        raise FormatError(f"{path}: no such file or folder")
    if path.is_dir():
        return _describe_folder(path)
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise FormatError(f"{path}: the file is empty; copy or make it again")
    suffix = path.suffix.lower()
    if start.startswith(b"CI") or suffix in (".cine", ".npy", ".raw", *VIDEO_SUFFIXES):
        from olatkit.io.describe_stream import describe_stream

        return describe_stream(path)
    if start.startswith(HDF5_MAGIC):
        from olatkit.io.describe_take import describe_hdf5

        return describe_hdf5(path)
    if start.startswith((EXR_MAGIC, *HDR_MAGIC, *PICTURE_MAGIC)):
        from olatkit.io.describe_picture import describe_picture

        return describe_picture(path)
    if suffix == ".json":
        return _describe_json(path)
    if suffix == ".pt":
        from olatkit.io.describe_training import describe_checkpoint

        return describe_checkpoint(path)
    if suffix == ".lp":
        return _describe_rig(read_rig(path), path)
    if suffix in (".csv", ".yaml", ".yml", ".html"):
        from olatkit.io.describe_text import describe_page, describe_table, describe_yaml, table_kind

        if suffix == ".csv":
            return describe_table(path) if table_kind(path) else _describe_rig(read_rig(path), path)
        return describe_page(path) if suffix == ".html" else describe_yaml(path)
    raise FormatError(
        f"{path}: no kind of file that olatkit knows (starts with {start[:8]!r}); expected a capture stream, take, "
        "rig, schedule, environment map or picture"
    )


def _describe_folder(path: Path) -> Description:
    """The parts of unfinished work, a set of shards, a training, or a folder of images."""
    if (path / "plan.json").is_file():
        from olatkit.io.describe_parts import describe_parts

        return describe_parts(path)
    if (path / "index.json").is_file():
        from olatkit.io.describe_shards import describe_shard_set

        return describe_shard_set(path)
    if (path / "train.yaml").is_file():
        from olatkit.io.describe_training import describe_run

        return describe_run(path)
    from olatkit.io.describe_stream import describe_stream

    return describe_stream(path)


def _describe_json(path: Path) -> Description:
    """A rig, a schedule, the sidecar of a stream, or what else is JSON."""
    from olatkit.io.describe_shards import describe_shard_set
    from olatkit.io.describe_text import describe_matrix, describe_plan
    from olatkit.io.describe_training import describe_checkpoint, is_checkpoint
    from olatkit.io.shard_index import FORMAT

    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise FormatError(f"{path}: not JSON: {error}") from error
    if isinstance(document, list):
        return describe_matrix(path, document)
    document = document if isinstance(document, dict) else {}
    if document.get("format") == FORMAT:
        return describe_shard_set(path.parent)
    if is_checkpoint(document):
        return describe_checkpoint(path)
    if "actors" in document:
        return describe_plan(path, document)
    if "lights" in document:
        return _describe_rig(read_rig(path), path)
    if "cycle" in document or "stride" in document:
        return _describe_schedule(read_schedule(path), path)
    if "frame_rate_hz" in document:
        facts = tuple(text(key.replace("_", " "), str(value), key) for key, value in document.items())
        return Description("sidecar that explains the frames beside it", facts)
    known = ", ".join(list(document)[:6]) or "none"
    raise FormatError(f"{path}: JSON of no known kind ({known}), expected 'lights' (rig) or 'cycle' (schedule)")


def _describe_rig(rig: LightRig, path: Path) -> Description:
    """Lights, radii, gains, spacing and the largest hole."""
    gains, enabled = np.asarray(rig.gains), np.asarray(rig.enabled)
    dead = np.flatnonzero(~enabled)
    facts = [
        text("name", rig.name, "name"), number("lights", len(rig), "", "lights"),
        Fact("dead lights", ", ".join(map(str, dead)) or "none", "dead_lights", dead.tolist()),
    ]
    if rig.positions is None:
        facts.append(text("distance", "directions only, no positions", "distance"))
    else:
        facts.append(span("distance", np.linalg.norm(rig.positions, axis=1), "m", "distance_m"))
    if len(rig) > 1:
        cosine = rig.directions @ rig.directions.T
        np.fill_diagonal(cosine, -1)
        nearest = np.degrees(np.arccos(np.clip(cosine.max(axis=1), -1, 1)))
        facts.append(span("to the nearest light", nearest, "deg", "nearest_deg"))
    if enabled.any():
        grid = latlong_directions(45, 90) @ rig.directions[enabled].T
        widest = float(np.degrees(np.arccos(np.clip(grid.max(axis=2), -1, 1)).max()))
        facts.append(number("largest hole", widest, "deg from any light", "largest_hole_deg", ".3g"))
    elevation = np.degrees(np.arcsin(np.clip(rig.directions[:, 1], -1, 1)))
    facts += [span("elevation", elevation, "deg", "elevation_deg"), span("gains", gains, "of the mean light", "gains")]
    return Description("light rig", (*facts, file_size(path.stat().st_size)))


def _describe_schedule(schedule: LightingSchedule, path: Path) -> Description:
    """Cycle, slots and what they make."""
    kinds = Counter(slot.kind for slot in schedule.slots)
    rate, overlap = schedule.frame_rate_hz / schedule.stride, schedule.cycle / schedule.stride
    lasts = f"{1000 * schedule.cycle / schedule.frame_rate_hz:.4g} ms"
    facts = [
        text("name", schedule.name, "name"),
        number("lights", schedule.n_lights, "", "lights"),
        number("frame rate", schedule.frame_rate_hz, "frames per s", "frame_rate_hz"),
        Fact("cycle", f"{counted(schedule.cycle, 'frame')}, {lasts}", "cycle_frames", schedule.cycle),
        Fact("slots", ", ".join(f"{n} {kind}" for kind, n in kinds.items()), "slots", dict(kinds)),
    ]
    tracking = schedule.tracking_slots
    if len(tracking):
        gaps = np.diff(np.append(tracking, tracking[0] + schedule.cycle))
        drives = [schedule.slots[p].gain for p in tracking]
        facts += [span("tracking every", gaps, "frames", "tracking_every_frames"),
                  span("tracking drive", drives, "of a single light", "tracking_drive")]
    facts += [
        Fact("stride", f"{counted(schedule.stride, 'frame')}: {rate:.4g} imagesets per s", "stride_frames", schedule.stride),
        Fact("overlap", f"a frame serves {overlap:.3g} imagesets", "overlap", overlap),
        Fact("phase", f"{counted(schedule.phase, 'frame')}; the one found in the frames "
                      "wins", "phase_frames", schedule.phase),
        file_size(path.stat().st_size),
    ]
    return Description("lighting schedule" + (", multiplexed" if schedule.is_multiplexed else ""), tuple(facts))
