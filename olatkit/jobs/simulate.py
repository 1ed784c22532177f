"""Record a take on the simulated stage: a .cine, its rig and schedule, and the truth."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from olatkit.errors import ConfigError
from olatkit.io.cine_writer import write_cine
from olatkit.io.documents import write_rig, write_schedule
from olatkit.io.outputs import refuse_existing
from olatkit.io.run_lock import running_alone
from olatkit.io.truth import TruthWriter, write_truth
from olatkit.jobs.schedulers import default_workers
from olatkit.simulate.stage import Stage, choose_references
from olatkit.wording import counted

OUTPUTS = ("take.cine", "rig.json", "schedule.json", "truth.h5")
_EXPOSURE_SHARE = 0.9


def simulate(
    stage: Stage, folder: str | os.PathLike[str], *, ticks: int, truth: int | None = 3, workers: int | None = None,
    overwrite: bool = False, progress: Callable[[int, int], object] | None = None,
) -> list[Path]:
    """Record ``ticks`` frames and write ``take.cine``, ``rig.json``, ``schedule.json`` and ``truth.h5``.

    Parameters
    ----------
    stage : Stage
        What is filmed and how.
    folder : path
        Made if missing.
    ticks : int
        Length of the recording in ticks of the camera clock; frames that the stage drops are missing from the file
        and leave gaps in its timestamps.
    truth : int or None
        Number of reference instants with ground truth, spread over the take; None for all, 0 for no ``truth.h5``.
    workers : int, optional
        Frames computed at once, one thread each; by default one per core that the process may use.
        The bytes do not depend on it.
    overwrite : bool
        Replace existing files, each when its successor is whole.
    progress : callable, optional
        Called as ``progress(done, total)``.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    OutputExistsError
        One of the files exists and ``overwrite`` is false, or another run is writing them; nothing has been done then.
    ConfigError
        Fewer than one tick.

    Notes
    -----
    ``schedule.json`` says phase 0 whatever the stage's phase is, as a camera that was started by hand would: the
    phase is to be found in the frames. ``truth.h5`` knows it.
    """
    if ticks < 1:
        raise ConfigError(f"a take of {counted(ticks, 'frame')}, expected at least 1; record for longer")
    if truth != 0 and not len(stage.reference_ticks(ticks)):
        raise ConfigError(
            f"{counted(ticks, 'frame')}: no reference instant has half a cycle on both sides, so there is no truth "
            "to write; "
            f"record at least {stage.schedule.cycle + stage.schedule.stride} frames, or pass --truth 0"
        )
    folder = Path(folder)
    paths = [folder / name for name in OUTPUTS if truth != 0 or name != "truth.h5"]
    for path in paths:
        refuse_existing(path, overwrite=overwrite)
    with running_alone(folder / "take.parts"):
        _record(stage, paths, ticks, truth, workers or default_workers(), overwrite, progress)
    return paths


def _record(
    stage: Stage, paths: list[Path], ticks: int, truth: int | None, workers: int, overwrite: bool,
    progress: Callable[[int, int], object] | None,
) -> None:
    """Write the files of a take, the schedule last."""
    kept = np.setdiff1d(np.arange(ticks), stage.disturbances.dropped_ticks(ticks))
    references = np.intersect1d(choose_references(np.intersect1d(stage.reference_ticks(ticks), kept), truth), kept)
    steps = _Steps(len(kept) + 4 * len(references), progress)
    sensor, rate = stage.sensor, stage.schedule.frame_rate_hz
    with _pool(workers) as pool:
        frames = _in_order(pool, stage.frame, kept, _ahead(stage, workers), steps)
        write_cine(
            paths[0], frames, frame_rate_hz=rate, bayer=sensor.bayer, packing="p12l" if sensor.bits == 12 else "u16",
            bits=sensor.bits, black_level=sensor.black_level, white_level=sensor.white_level, times_s=kept / rate,
            exposure_s=_EXPOSURE_SHARE / rate, overwrite=overwrite,
        )
        if truth != 0:
            _write_truth(paths[3], stage, kept, references, pool, steps, overwrite)
    write_rig(paths[1], stage.rig, overwrite=overwrite)
    write_schedule(paths[2], replace(stage.schedule, phase=0), overwrite=overwrite)


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads; after an error or an interruption nobody waits for frames that are no longer wanted."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


class _Steps:
    """Counts finished steps and tells the caller."""

    def __init__(self, total: int, progress: Callable[[int, int], object] | None) -> None:
        self._done, self._total, self._progress = 0, total, progress
        self.advance(0)

    def advance(self, count: int = 1) -> None:
        self._done += count
        if self._progress:
            self._progress(self._done, self._total)


def _ahead(stage: Stage, workers: int) -> int:
    """Frames in flight: enough to keep everybody busy while one computes a tracking frame, within 256 MB."""
    height, width = stage.subject.size
    return max(2 * workers, min(64 * workers, 2**28 // (2 * height * width)))


def _in_order(
    pool: ThreadPoolExecutor, one: Callable[[int], np.ndarray], ticks: np.ndarray, ahead: int, steps: _Steps
) -> Iterator[np.ndarray]:
    """Results of ``one(tick)`` in order, never more than ``ahead`` of them in memory."""
    waiting: deque[Future[np.ndarray]] = deque()
    try:
        for tick in ticks:
            waiting.append(pool.submit(one, int(tick)))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
                steps.advance()
        while waiting:
            yield waiting.popleft().result()
            steps.advance()
    finally:
        for future in waiting:
            future.cancel()


def _write_truth(
    path: Path, stage: Stage, kept: np.ndarray, references: np.ndarray, pool: ThreadPoolExecutor, steps: _Steps,
    overwrite: bool,
) -> None:
    """Ground truth at ``references`` and the flows between successive ones."""
    sensor, schedule = stage.sensor, stage.schedule
    slots = (kept - stage.phase) % schedule.cycle
    arrays = {
        "r": np.searchsorted(kept, references).astype(np.int64), "r_tick": references, "tick": kept,
        "frame_light": schedule.slot_lights[slots].astype(np.int32),
        "pose": np.array([_pose_matrix(stage, t) for t in references]).reshape(-1, 4, 4),
        "pose_frames": np.array([_pose_matrix(stage, t) for t in kept]),
        "bad_pixels": sensor.bad_pixel_map(stage.subject.size),
    }
    attributes = {
        "codes_per_unit": 1.0, "full_scale_codes": sensor.full_scale_codes, "phase": stage.phase,
        "cycle": schedule.cycle, "stride": schedule.stride, "fps": schedule.frame_rate_hz,
        "eps": stage.disturbances.crosstalk,
        "dropped_ticks": np.setdiff1d(np.arange(kept[-1] + 1), kept), "black_level": sensor.black_level,
        "white_level": sensor.white_level, "full_well_e": sensor.full_well_e, "read_noise_e": sensor.read_noise_e,
        "noise_seed": sensor.seed, "radiance_to_full_scale": stage.exposure,
        "ambient": stage.disturbances.ambient, **stage.subject.description,
    }
    if len(schedule.tracking_slots):
        attributes["g_T"] = schedule.tracking_gain
    shape = (len(references), len(stage.rig), *stage.subject.size)
    with write_truth(path, shape=shape, arrays=arrays, attributes=attributes, overwrite=overwrite) as writer:
        for i, tick in enumerate(references):
            _write_instant(writer, i, stage, int(tick), pool)
            steps.advance(3)
            if i:
                _write_flows(writer, i - 1, stage, int(references[i - 1]), int(tick), pool)
            steps.advance()


def _write_instant(writer: TruthWriter, index: int, stage: Stage, tick: int, pool: ThreadPoolExecutor) -> None:
    """Exact images of one reference instant, its lights shared among the workers."""
    subject, time_s = stage.subject, stage.time_s(tick)
    view = subject.view(time_s)
    exposure = np.float32(stage.exposure)

    def alone(direction: np.ndarray) -> np.ndarray:
        image = subject.olat(view, direction[None])[0] * exposure
        stage.blur(image)
        return image

    olat = np.stack(list(pool.map(alone, stage.rig.directions)))
    gain = stage.schedule.tracking_gain if len(stage.schedule.tracking_slots) else 1.0
    full = np.einsum("lhwc,lc->hwc", olat, (gain * stage.lamp).astype(np.float32))
    writer.write_instant(
        index, olat=olat, full=full, alpha=subject.alpha(time_s), normal=subject.normals(time_s),
        label=subject.labels(time_s),
    )


def _write_flows(
    writer: TruthWriter, index: int, stage: Stage, first: int, second: int, pool: ThreadPoolExecutor
) -> None:
    """Flows both ways between two instants."""
    a, b = stage.time_s(first), stage.time_s(second)
    (forward, hidden_fw), (backward, hidden_bw) = pool.map(stage.subject.flow, (a, b), (b, a))
    writer.write_flow(index, forward=forward, backward=backward, hidden_fw=hidden_fw, hidden_bw=hidden_bw)


def _pose_matrix(stage: Stage, tick: int) -> np.ndarray:
    """Rest position of the head to world, shape (4, 4)."""
    return stage.subject.pose(stage.time_s(int(tick))).matrix
