"""Every hash and every law of a shard set, checked."""

from pathlib import Path

import numpy as np

from olatkit.color import to_srgb8
from olatkit.errors import FormatError
from olatkit.io.codes import LAST
from olatkit.io.shard_index import BANK, ShardEntry, ShardIndex, TakeEntry, read_index
from olatkit.io.shard_writing import file_sha256
from olatkit.io.shards import ShardReader
from olatkit.jobs.schedulers import Progress, run_tasks, task_path
from olatkit.learn.lightings import light_weights_of, lighting_matrix
from olatkit.render.fully_lit import fully_lit
from olatkit.render.relight import relight
from olatkit.vision.occlusion import hidden_points
from olatkit.vision.parsing import CLASSES

# Flow is stored in half floats: a few pixels on the verge of the rule may fall on its other side.
OCCLUSION_DIFFERS = 0.02


def verify_shards(
    folder: Path, *, scheduler: str = "threads", workers: int | None = None, progress: Progress | None = None
) -> list[str]:
    """Check a shard set; returns what is wrong, a line each, nothing if all is well.

    Checked are: the index in itself; size and SHA-256 of every file; every chunk and its checksum; ranges of codes,
    labels, occlusion and flow; the order of instants within takes and across files; the fully lit picture against the
    lights of a shard's first imageset, and a baked one against its lightings; occlusion against flow.

    Raises
    ------
    FormatError
        There is no index, or it cannot be read.
    """
    folder = Path(folder)
    index = read_index(folder)
    problems = []
    if index.bank_sha256 and (not (folder / BANK).is_file() or file_sha256(folder / BANK) != index.bank_sha256):
        problems.append(f"{BANK}: missing, or not the one that the index names")
    known = {shard.file for shard in index.shards}
    problems += [f"{path.name}: not in the index" for path in sorted(folder.glob("shard-*.h5")) if path.name not in known]
    tasks = [(str(task_path(folder, scheduler)), number) for number in range(len(index.shards))]
    weights = [shard.imagesets for shard in index.shards]
    found = run_tasks(
        check_shard, tasks, scheduler=scheduler, workers=workers, weights=weights, progress=progress, given=[folder]
    )
    ticks = {shard.file: span for shard, (_, span) in zip(index.shards, found, strict=True)}
    for lines, _ in found:
        problems += lines
    return problems + _check_order(index, ticks)


def check_shard(folder: str, number: int) -> tuple[list[str], tuple[int, int] | None]:
    """Task: what is wrong with one shard, and its first and last tick (None if it cannot be read)."""
    index = read_index(folder)
    entry = index.shards[number]
    path = Path(folder) / entry.file
    if not path.is_file():
        return [f"{entry.file}: missing"], None
    problems = []
    if path.stat().st_size != entry.bytes:
        problems.append(f"{entry.file}: {path.stat().st_size} bytes, the index says {entry.bytes}")
    if file_sha256(path) != entry.sha256:
        problems.append(f"{entry.file}: SHA-256 differs from the index, the file has changed")
    try:
        with ShardReader(path) as reader:
            take = next(take for take in index.takes if take.name == entry.take)
            problems += [f"{entry.file}: {line}" for line in _check_header(reader, entry, take, index)]
            problems += [f"{entry.file}: {line}" for line in _check_contents(reader)]
            ticks = reader.rows["r"]
            if (np.diff(ticks) <= 0).any():
                problems.append(f"{entry.file}: instants are not in order of time")
            return problems, (int(ticks[0]), int(ticks[-1]))
    except FormatError as error:
        return [*problems, str(error).replace(f"{path}", entry.file)], None


def _check_header(reader: ShardReader, entry: ShardEntry, take: TakeEntry, index: ShardIndex) -> list[str]:
    """What the shard says of itself against what the index says."""
    h = reader.header
    pairs = (
        ("take", h.take, entry.take), ("first imageset", h.first, entry.first), ("imagesets", h.count, entry.imagesets),
        ("pairs", h.pairs, entry.pairs), ("subject", h.subject, take.subject), ("kappa", h.kappa, take.kappa),
        ("lights", len(h.rig), take.lights), ("size", h.size, index.size), ("tile", h.tile, index.tile),
        ("baked", h.baked, index.baked), ("compression", h.compression, index.compression),
    )
    return [f"{name} is {own}, the index says {said}" for name, own, said in pairs if own != said]


def _check_contents(reader: ShardReader) -> list[str]:
    """Ranges and laws of all imagesets and pairs; reading them checks every chunk."""
    problems: list[str] = []
    for t in range(reader.header.count):
        codes = reader.read_codes(t)
        if codes.max() > LAST:
            problems.append(f"imageset {t}: a code is {codes.max()}, expected at most {LAST}")
        full, labels = reader.read("full", t), reader.read("parse", t)
        reader.read("mask", t)
        if labels.max() >= len(CLASSES):
            problems.append(f"imageset {t}: a label is {labels.max()}, expected at most {len(CLASSES) - 1}")
        if t == 0:
            lit = np.float32(reader.header.kappa) * fully_lit(reader.read_radiance(0), reader.header.rig)
            if _differ(to_srgb8(lit), full):
                problems.append("imageset 0: the fully lit picture is not the sum of its lights")
    for t in range(reader.header.pairs):
        problems += _check_pair(reader, t)
    if "baked" in reader.header.names:
        problems += _check_baked(reader)
    return problems


def _check_pair(reader: ShardReader, t: int) -> list[str]:
    """Flow and occlusion of one pair."""
    forward, backward = (reader.read(name, t).astype(np.float32) for name in ("flow_fw", "flow_bw"))
    hidden = [reader.read(name, t) for name in ("occ_fw", "occ_bw")]
    if not (np.isfinite(forward).all() and np.isfinite(backward).all()):
        return [f"pair {t}: flow is not finite"]
    if max(part.max() for part in hidden) > 1:
        return [f"pair {t}: occlusion is {max(part.max() for part in hidden)}, expected 0 or 1"]
    labels = reader.header.notes["settings"]["labels"]
    rule = {"relative": labels["occlusion_relative"], "slack": labels["occlusion_slack_px2"]}
    expected = hidden_points(forward, backward, **rule), hidden_points(backward, forward, **rule)
    share = max(float((a != b).mean()) for a, b in zip(hidden, expected, strict=True))
    if share > OCCLUSION_DIFFERS:
        return [f"pair {t}: occlusion differs from what its flow says at {100 * share:.1f} % of the pixels"]
    return []


def _check_baked(reader: ShardReader) -> list[str]:
    """All baked pictures can be read; the first is what its lighting makes of the lights."""
    problems = []
    h = reader.header
    for t in range(h.pairs):
        for number in range(h.baked):
            picture = reader.read("baked", (t, number))
            if t == number == 0:
                assert reader.baked_lights is not None
                weights = light_weights_of(reader.baked_lights[0, 0, 0], lighting_matrix(h.rig)) * np.float32(h.kappa)
                if _differ(to_srgb8(relight(reader.read_radiance(0), weights)), picture[0]):
                    problems.append("pair 0: the first baked picture is not what its lighting makes of the lights")
    lights = reader.baked_lights
    if lights is not None and not (np.isfinite(lights).all() and lights.min() >= 0):
        problems.append("baked lightings are negative or not finite")
    return problems


def _check_order(index: ShardIndex, ticks: dict[str, tuple[int, int] | None]) -> list[str]:
    """Instants of every take go on from file to file."""
    problems = []
    for take in index.takes:
        last = None
        for shard in index.shards_of(take.name):
            span = ticks[shard.file]
            if span and last is not None and span[0] <= last:
                problems.append(f"{shard.file}: begins at tick {span[0]}, the shard before ends at {last}")
            last = span[1] if span else last
    return problems


def _differ(first: np.ndarray, second: np.ndarray) -> bool:
    """More than one code anywhere: sums in another order may round to the neighbouring code."""
    return bool(np.abs(first.astype(np.int16) - second).max() > 1)
