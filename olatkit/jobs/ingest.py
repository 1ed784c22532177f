"""A capture file to a take: plan once, make imagesets in parallel, merge; a killed run resumes."""

import hashlib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from olatkit import __version__
from olatkit.capture.config import IngestConfig
from olatkit.capture.demultiplex import Demultiplexer, assemble_imageset
from olatkit.capture.moments import frame_features
from olatkit.capture.plan import CapturePlan, check_input, plan_capture
from olatkit.capture.prepare import FrameWindow
from olatkit.imageset import CLIPPED_CODES
from olatkit.io import codes as radiance_codes
from olatkit.io.documents import read_rig, read_schedule
from olatkit.io.joined_take import is_joined, mark_joined
from olatkit.io.outputs import refuse_existing
from olatkit.io.run_lock import running_alone
from olatkit.io.sources import open_stream
from olatkit.io.streams import FrameStream
from olatkit.io.take_writing import ImagesetRows, PartWriter, TakeHeader, merge_parts, part_is_whole
from olatkit.jobs.calibration import read_calibration
from olatkit.jobs.report import report_path, write_report
from olatkit.jobs.schedulers import Progress, default_workers, run_tasks, task_path
from olatkit.jobs.stored_plan import load_plan, store_plan, stored_digest
from olatkit.once import Once
from olatkit.vision.flow import FlowTable

log = logging.getLogger(__name__)

# Consecutive imagesets of one task where workers share no memory: neighbours share five sixths of their frames.
LARGEST_BATCH = 12
SCAN = 400  # frames of one task of the first look over the take


@dataclass(frozen=True)
class IngestSummary:
    """What an ingest did, for the command's last words and for scripts."""

    take: Path
    imagesets: int
    resumed: int
    phase: int
    phase_score: float
    dropped: int
    skipped: int
    crosstalk: float
    clipped: int
    flagged: int


def ingest(
    source: Path,
    rig: Path,
    schedule: Path,
    out: Path,
    *,
    config: IngestConfig | None = None,
    phase: int | None = None,
    span: tuple[int | None, int | None] = (None, None),
    size: tuple[int, int] | None = None,
    box: tuple[int, int, int, int] | str = "auto",
    dark: Path | None = None,
    flat: Path | None = None,
    linearity: Path | None = None,
    color: Path | None = None,
    color_corners: np.ndarray | None = None,
    transfer: str | None = None,
    encoding: str = "sqrt12",
    compression: str = "bitshuffle",
    scheduler: str = "threads",
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    scan_progress: Progress | None = None,
    report: bool = False,
) -> IngestSummary:
    """Demultiplex a capture into a take.

    Parameters
    ----------
    source : Path
        Phantom ``.cine``, image sequence, video, ``.npy`` or raw file with sidecar.
    rig, schedule : Path
        Documents of the stage.
    out : Path
        Take to write, ``NAME.olat.h5``.
    config : IngestConfig, optional
        Settings.
    phase, span, size, box
        As for :func:`olatkit.capture.plan.plan_capture`.
    dark, flat, linearity, color, color_corners
        As for :func:`olatkit.jobs.calibration.read_calibration`.
    transfer : str, optional
        Transfer curve of a source that is not linear.
    encoding, compression : str
        As in :class:`~olatkit.io.takes.TakeHeader`.
    scheduler, workers
        As for :func:`olatkit.jobs.schedulers.run_tasks`.
    overwrite : bool
        Replace an existing take and the parts of an unfinished run with other settings.
    progress, scan_progress : callable (done, total), optional
        Imagesets made; frames looked at before.
    report : bool
        Write ``NAME.report.html`` beside the take.

    Returns
    -------
    IngestSummary

    Raises
    ------
    OutputExistsError
        The take exists, or parts of a run with other settings lie beside it, and ``overwrite`` is False.
    CaptureError, ConfigError, FormatError
        The input cannot be made into imagesets; one line says why. No take is left behind.
    """
    source, out = Path(source), Path(out)
    parts = out.with_name(out.name + ".parts")
    goes_on = is_joined(parts, out)  # a run was killed when only the report was missing
    for path in (out, *([report_path(out)] if report else [])):
        refuse_existing(path, overwrite=overwrite or goes_on)
    stream = open_stream(source) if transfer is None else open_stream(source, transfer=transfer)
    rig_, schedule_ = read_rig(rig), read_schedule(schedule)
    asked = span[0] or 0, len(stream) if span[1] is None else span[1]
    whole = check_input(stream, rig_, schedule_, asked, size, box)
    features = scan_features(source, stream, transfer, scheduler, workers, scan_progress, whole)
    config = config or IngestConfig()
    camera = read_calibration(
        stream, dark=dark, flat=flat, linearity=linearity, color=color, color_corners=color_corners,
        shielded=config.optical_black,
    )
    plan = plan_capture(
        stream,
        rig_,
        schedule_,
        features,
        config,
        phase=phase,
        span=whole,
        size=size,
        box=box,
        camera=camera,
    )
    header = _header(plan, stream, encoding, compression)
    content = hashlib.sha256(features.tobytes() + stream.times_s.tobytes() + repr(_stamps(source)).encode()).hexdigest()
    with running_alone(parts):
        whole_parts = str(task_path(parts, scheduler))
        digest = store_plan(parts, plan, header, (task_path(source, scheduler), transfer, content), overwrite)
        names = [parts / f"{i:06d}.h5" for i in range(len(plan.references))]
        joined = is_joined(parts, out, digest)
        todo = [i for i, name in enumerate(names) if not (joined or part_is_whole(name, digest))]
        # Threads share the frames, so their tasks can be single imagesets.
        longest = 1 if scheduler in ("sync", "threads") else LARGEST_BATCH
        batches = _batches(todo, workers or default_workers(), longest)
        run_tasks(
            _make_imagesets,
            [(whole_parts, batch) for batch in batches],
            scheduler=scheduler,
            workers=workers,
            weights=[len(batch) for batch in batches],
            progress=progress,
            given=[source, out],
        )
        _WORKSHOPS.drop(lambda key: key[0] == whole_parts)
        if not joined:
            merge_parts(names, out, header, overwrite=overwrite, mark=lambda take: mark_joined(parts, take, digest))
        if report:
            write_report(out, overwrite=overwrite or goes_on, plan=plan, stream=stream)
        shutil.rmtree(parts)
    return _summary(out, plan, len(names) - len(todo))


def scan_features(
    source: Path,
    stream: FrameStream,
    transfer: str | None,
    scheduler: str,
    workers: int | None,
    progress: Progress | None,
    span: tuple[int, int] | None = None,
) -> np.ndarray:
    """Features of all frames, shape (N, 3), read in parallel; zeros outside ``span``, whose frames are not read."""
    first, stop = span or (0, len(stream))
    whole = str(task_path(source, scheduler))
    tasks = [(whole, transfer, a, min(a + SCAN, stop)) for a in range(first, stop, SCAN)]
    found = run_tasks(
        _features,
        tasks,
        scheduler=scheduler,
        workers=workers,
        weights=[b - a for _, _, a, b in tasks],
        progress=progress,
        given=[source],
    )
    features = np.zeros((len(stream), 3))
    features[first:stop] = np.concatenate(found)
    return features


def _features(source: str, transfer: str | None, start: int, stop: int) -> np.ndarray:
    """Features of frames ``start`` to ``stop`` - 1, read in small pieces."""
    stream = _open(source, transfer, _stamp(source))
    step = 10  # small enough for the cache
    pieces = [
        frame_features(
            stream.read(a, min(a + step, stop)), black_level=stream.black_level, white_level=stream.white_level
        )
        for a in range(start, stop, step)
    ]
    return np.concatenate(pieces)


def _stamps(source: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of a file, or of all files of a folder: parts of other content are not reused."""
    files = [source] if source.is_file() else sorted(source.iterdir())
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def _stamp(source: str) -> tuple[int, int]:
    """What changes when a file is replaced: a worker that lives on must not use the old one."""
    status = Path(source).stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=4)
def _open(source: str, transfer: str | None, _when: tuple[int, int]) -> FrameStream:
    return open_stream(source) if transfer is None else open_stream(source, transfer=transfer)


def _header(plan: CapturePlan, stream: FrameStream, encoding: str, compression: str) -> TakeHeader:
    """Header of the take with all provenance; nothing in it depends on the machine or the date."""
    notes: dict[str, Any] = {
        "command": "ingest",
        "olatkit": __version__,
        "source": Path(stream.name).name,
        "source_frame_rate_hz": stream.frame_rate_hz,
        "config": plan.config.model_dump(),
        **plan.findings,
    }
    rate = plan.schedule.frame_rate_hz / plan.schedule.stride
    return TakeHeader(plan.rig, plan.schedule, plan.shape, plan.calibration.box, rate, encoding, compression, notes)


def _batches(indices: Sequence[int], workers: int, longest: int) -> list[list[int]]:
    """Runs of at most ``longest`` consecutive imagesets, small enough to keep all workers busy to the end."""
    longest = int(np.clip(-(-len(indices) // workers), 1, longest))
    batches: list[list[int]] = []
    for i in indices:
        if batches and batches[-1][-1] == i - 1 and len(batches[-1]) < longest:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


@dataclass(frozen=True)
class _Workshop:
    """What all tasks of one run in one process share: the plan, and frames and flows that threads make only once."""

    plan: CapturePlan
    stream: FrameStream
    header: TakeHeader
    frames: FrameWindow
    demultiplexer: Demultiplexer
    flows: FlowTable


_WORKSHOPS: Once[tuple[str, str], _Workshop] = Once()


def _workshop(parts: str) -> tuple[_Workshop, str]:
    """The workshop of a parts folder, and the digest of its plan; that of another run is closed."""
    digest = stored_digest(parts)
    _WORKSHOPS.drop(lambda key: key != (parts, digest))

    def set_up() -> _Workshop:
        plan, document = load_plan(parts)
        stream = _open(document["source"], document["transfer"], _stamp(document["source"]))
        encoding, compression = document["encoding"], document["compression"]
        header = TakeHeader(plan.rig, plan.schedule, plan.shape, plan.calibration.box, 0.0, encoding, compression)
        frames, demultiplexer = plan.frames(stream), plan.demultiplexer
        return _Workshop(plan, stream, header, frames, demultiplexer, demultiplexer.flow_table(frames))

    return _WORKSHOPS.get((parts, digest), set_up), digest


def _make_imagesets(parts: str, indices: list[int]) -> None:
    """Make some consecutive imagesets, each into its own part file."""
    shop, digest = _workshop(parts)
    plan, stream, header, frames, demultiplexer = shop.plan, shop.stream, shop.header, shop.frames, shop.demultiplexer
    _, _, height, width = plan.calibration.box
    # Pixels outside the region keep the code of no light.
    blank = radiance_codes.BLACK if header.encoding == "sqrt12" else 0
    picture = np.full((height, width, 3), blank, header.stored_type)
    index, runs = plan.region.index, 3 * plan.region.runs
    for i in indices:
        reference = int(plan.references[i])
        cycle = plan.schedule.cycle
        beyond = np.zeros(len(plan.rig), np.int64)
        with (
            frames.hold(reference - cycle, reference + cycle),
            PartWriter(Path(parts) / f"{i:06d}.h5", header, digest) as part,
        ):

            def store(light: int, packed: np.ndarray, part: PartWriter = part, beyond: np.ndarray = beyond) -> None:
                if header.encoding == "sqrt12":
                    beyond[light] = radiance_codes.encode_into(packed, picture, runs)
                else:
                    picture.reshape(-1, 3)[index] = packed.reshape(-1, 3)
                    beyond[light] = int((~np.isfinite(picture)).sum())
                part.write_light(light, picture)

            full, record = assemble_imageset(demultiplexer, frames, reference, store, flows=shop.flows)
            record.quality[beyond > 0] |= CLIPPED_CODES
            record.stats["beyond_codes"] = float(beyond.sum())
            rows = ImagesetRows(
                full,
                record.quality,
                record.observations,
                record.weights_after,
                plan.reference_frame(reference),
                reference,
                _time_s(stream, plan, reference),
                record.stats,
            )
            part.finish(rows)


def _time_s(stream: FrameStream, plan: CapturePlan, tick: int) -> float:
    """Time of a tick: its frame's timestamp, or interpolated where no frame was stored."""
    return float(np.interp(tick, plan.ticks, stream.times_s))


def _summary(out: Path, plan: CapturePlan, resumed: int) -> IngestSummary:
    from olatkit.io.takes import open_take

    with open_take(out) as take:
        clipped = int(take.stats["beyond_codes"].sum())
        flagged = int((take.quality != 0).sum())
    f = plan.findings
    return IngestSummary(
        out,
        len(plan.references),
        resumed,
        plan.phase,
        float(f["phase_score"]),
        int(f["dropped"]),
        len(f["skipped_references"]),
        float(f["crosstalk"]),
        clipped,
        flagged,
    )
