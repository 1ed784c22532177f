"""Pictures of a shard set for people: contact sheets, and a video of labels and flow."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from olatkit.io.images import write_png
from olatkit.io.outputs import refuse_existing
from olatkit.io.shard_index import TakeEntry
from olatkit.io.shard_set import ShardSet
from olatkit.io.video import VideoWriter
from olatkit.render.pictures import contact_sheet
from olatkit.vision.label_pictures import colour_flow, colour_labels
from olatkit.vision.warp import warp

COLUMNS = ("t, fully lit", "matte", "labels", "flow to t+1", "t+1 moved to t", "4 x difference")


def show_shards(
    folder: Path, out: Path, *, split: str | None = None, instants: int = 4, fps: float = 25.0,
    overwrite: bool = False, progress: Callable[[int, int], object] | None = None,
) -> list[Path]:
    """Write ``TAKE.png`` and ``TAKE.mp4`` for every take of a set.

    Parameters
    ----------
    folder : Path
        A finished shard set.
    out : Path
        Folder to write.
    split : str, optional
        Only its takes.
    instants : int
        Rows of a contact sheet, spread over the take.
    fps : float
        Frames per second of the video.
    overwrite : bool
        Replace existing files.
    progress : callable (done, total), optional
        Told of finished pairs.

    Returns
    -------
    list of Path
        The files. A row of a sheet shows one pair: the fully lit picture, the matte, labels over it, the flow (hue is
        direction, brightness length), the next picture moved back by the flow with hidden points in magenta, and
        four times what is left between the two. The video shows four of these for every pair.
    """
    shards = ShardSet(folder, split)
    paths = [out / f"{take.name}{suffix}" for take in shards.takes for suffix in (".png", ".mp4")]
    for path in paths:
        refuse_existing(path, overwrite=overwrite)
    total, done = len(shards.pairs), 0
    out.mkdir(parents=True, exist_ok=True)
    for take in shards.takes:
        pairs = take.imagesets - 1
        largest = _largest_flow(shards, take)
        chosen = set(np.unique(np.linspace(0, pairs - 1, min(instants, pairs)).astype(int)).tolist()) if pairs else set()
        rows: list[np.ndarray] = []
        with VideoWriter(out / f"{take.name}.mp4", fps=fps, overwrite=overwrite) as video:
            for t in range(pairs):
                pictures = pair_pictures(shards, take, t, largest)
                video.add(contact_sheet([pictures[i] for i in (0, 2, 3, 4)], 2, gap_px=2))
                if t in chosen:
                    rows += pictures
                done += 1
                if progress:
                    progress(done, total)
            if not pairs:  # a single imageset
                alone = [shards.read_full(take.name, 0), _labels(shards, take, 0)]
                video.add(contact_sheet(alone, 2, gap_px=2))
        labels = list(COLUMNS) * (len(rows) // len(COLUMNS)) if rows else ["fully lit", "labels"]
        write_png(out / f"{take.name}.png", contact_sheet(rows or alone, len(COLUMNS), labels), overwrite=overwrite)
    return paths


def pair_pictures(shards: ShardSet, take: TakeEntry, t: int, largest_px: float) -> list[np.ndarray]:
    """The six pictures of :data:`COLUMNS` for pair t of a take, each (S, S, 3) uint8."""
    reader, row = shards.locate(take.name, t)
    full, following = shards.read_full(take.name, t), shards.read_full(take.name, t + 1)
    matte = reader.read("mask", row)
    flow = reader.read("flow_fw", row).astype(np.float32)
    hidden = reader.read("occ_fw", row) > 0
    moved = np.clip(np.round(warp(following, flow, linear=True)), 0, 255).astype(np.uint8)
    difference = np.clip(4 * np.abs(moved.astype(int) - full), 0, 255).astype(np.uint8)
    moved[hidden & (matte > 127)] = (255, 0, 255)
    return [
        full, np.repeat(matte[..., None], 3, axis=2), colour_labels(reader.read("parse", row), full),
        colour_flow(flow, largest_px), moved, difference,
    ]


def _labels(shards: ShardSet, take: TakeEntry, t: int) -> np.ndarray:
    reader, row = shards.locate(take.name, t)
    return colour_labels(reader.read("parse", row), reader.read("full", row))


def _largest_flow(shards: ShardSet, take: TakeEntry) -> float:
    """Length of flow [px] that is shown at full brightness: the subject's fastest hundredth, over some pairs."""
    lengths = [1.0]
    for t in range(0, take.imagesets - 1, max(1, (take.imagesets - 1) // 8)):
        reader, row = shards.locate(take.name, t)
        flow, inside = reader.read("flow_fw", row).astype(np.float32), reader.read("mask", row) > 127
        if inside.any():
            lengths.append(float(np.percentile(np.linalg.norm(flow, axis=-1)[inside], 99)))
    return max(lengths)
