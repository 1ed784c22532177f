"""One task of a build: make one shard file from a range of imagesets, whoever does it and however often."""

import json
import os
import socket
from pathlib import Path

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.outputs import whole_file
from olatkit.io.shard_index import BUILD
from olatkit.io.shard_writing import ShardWriter, file_sha256
from olatkit.io.shards import ShardHeader, ShardReader
from olatkit.io.takes import Take, open_take
from olatkit.jobs.baking import Baker
from olatkit.jobs.shard_pictures import TakePictures, measure_kappa
from olatkit.jobs.shard_plan import SetPlan, ShardPlan, fingerprint, read_plan, settings_of
from olatkit.schedule import schedule_to_document


def find_take_kappa(folder: str, digest: str, number: int) -> float:
    """Task: the brightness factor of take ``number`` of the plan, kept beside the plan once found."""
    plan = read_plan(folder, digest)
    entry = plan.takes[number]
    record = Path(folder) / BUILD / f"kappa-{entry.fingerprint[:16]}-{plan.config.size}.json"
    try:
        return float(json.loads(record.read_text())["kappa"])
    except (OSError, ValueError, KeyError):
        kappa = measure_kappa(_open(plan, number), plan.config.size)
        _write_record(record, {"kappa": kappa})
        return kappa


def make_shard(folder: str, digest: str, number: int, kappa: float) -> dict:
    """Task: write shard ``number`` of the plan; returns its record, also kept beside the plan."""
    plan = read_plan(folder, digest)
    shard = plan.shards[number]
    found = whole_shard(Path(folder), plan, number)
    if found is not None:
        return found
    take = _open(plan, shard.take)
    pictures = TakePictures(take, plan.takes[shard.take], plan.config, kappa)
    path = Path(folder) / shard.file
    with ShardWriter(path, _header(plan, shard, take, kappa, pictures.labeller.name)) as writer:
        _fill(writer, plan, shard, take, pictures, kappa, Path(folder))
    return _record(Path(folder), plan, number)


def whole_shard(folder: Path, plan: SetPlan, number: int) -> dict | None:
    """The record of a shard that is there already, made with these settings; None if it must be made.

    A worker that was killed between the file and its record left a whole file, and a finished set has no records: the
    file is opened, its chunks are held against their checksums, and it is hashed.
    """
    shard = plan.shards[number]
    path = folder / shard.file
    try:
        record = json.loads(_record_path(folder, shard).read_text())
        if record["digest"] == plan.digest_of(shard) and path.stat().st_size == record["bytes"]:
            return record
    except (OSError, ValueError, KeyError):
        pass
    try:
        with ShardReader(path) as reader:
            if reader.header.digest != plan.digest_of(shard):
                return None
            reader.check()
        return _record(folder, plan, number)
    except FormatError:
        return None


def _open(plan: SetPlan, number: int) -> Take:
    entry = plan.takes[number]
    take = open_take(entry.path)
    if fingerprint(take) != entry.fingerprint:
        raise FormatError(f"{take.path}: the take has changed since the build was planned; run build-shards again")
    return take


def _header(plan: SetPlan, shard: ShardPlan, take: Take, kappa: float, labels: str) -> ShardHeader:
    entry, config = plan.takes[shard.take], plan.config
    schedule = "" if take.schedule is None else json.dumps(schedule_to_document(take.schedule))
    notes = {"settings": settings_of(config), "labels": labels, "take": take.notes}
    return ShardHeader(
        take.rig, schedule, entry.name, entry.subject, shard.first, shard.count, shard.pairs, config.size, config.tile,
        kappa, config.bake, config.compression, plan.digest_of(shard), notes,
    )


def _fill(
    writer: ShardWriter, plan: SetPlan, shard: ShardPlan, take: Take, pictures: TakePictures, kappa: float,
    folder: Path,
) -> None:
    """Write every imageset and pair of a shard in order of time."""
    stop = shard.first + shard.count
    rows = {
        "quality": np.zeros((shard.count, len(take.rig)), np.uint8),
        "obs": take.observations[shard.first : stop].astype(np.int32),
        "r": take.reference_ticks[shard.first : stop].astype(np.int64),
    }
    baker = Baker(plan, shard, take.rig, kappa, folder) if plan.config.bake else None
    for done in pictures.finished(shard.first, stop):
        instant, row = done.instant, done.instant.index - shard.first
        rows["quality"][row] = instant.quality
        writer.write_olat(row, instant.codes)
        writer.write("full", row, instant.full_srgb)
        writer.write("parse", row, done.labels)
        writer.write("mask", row, instant.matte)
        if done.pair is None or done.following is None:
            continue
        writer.write("flow_fw", row, done.pair.forward)
        writer.write("flow_bw", row, done.pair.backward)
        writer.write("occ_fw", row, done.pair.occluded_forward)
        writer.write("occ_bw", row, done.pair.occluded_backward)
        for number, baked in enumerate(baker.bake(instant, done.following) if baker else ()):
            writer.write("baked", (row, number), baked)
    writer.finish(rows, baker.lights if baker and shard.pairs else None)


def _record_path(folder: Path, shard: ShardPlan) -> Path:
    return folder / BUILD / f"{shard.file}.json"


def _record(folder: Path, plan: SetPlan, number: int) -> dict:
    """Hash a finished shard and write down what the index will say of it."""
    shard = plan.shards[number]
    path = folder / shard.file
    with ShardReader(path) as reader:
        kappa, labels = reader.header.kappa, reader.header.notes["labels"]
    record = {
        "digest": plan.digest_of(shard), "bytes": path.stat().st_size, "sha256": file_sha256(path), "kappa": kappa,
        "labels": labels,
    }
    _write_record(_record_path(folder, shard), record)
    return record


def _write_record(path: Path, record: dict) -> None:
    """Write a small JSON file at once; two workers that do the same write the same, each under a name of its own."""
    own = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}")
    with whole_file(own, overwrite=True) as part:
        part.write_text(json.dumps(record), encoding="utf-8")
    own.replace(path)
