"""Takes to a shard set: planned, made by any number of workers, each shard its own file, the index last."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from olatkit.errors import FormatError, OutputExistsError
from olatkit.io.outputs import copy_file
from olatkit.io.run_lock import running_alone
from olatkit.io.shard_index import BANK, BUILD, INDEX, ShardEntry, ShardIndex, TakeEntry, read_index, write_index
from olatkit.io.shard_writing import file_sha256
from olatkit.jobs.held_warnings import held_warnings
from olatkit.jobs.schedulers import Progress, run_tasks, task_path
from olatkit.jobs.shard_making import find_take_kappa, make_shard, whole_shard
from olatkit.jobs.shard_plan import MODELS, SetPlan, ShardConfig, plan_shards, settings_of, write_plan
from olatkit.learn.lightings import maps_for, open_sampler
from olatkit.wording import counted


@dataclass(frozen=True)
class BuildSummary:
    """What a build did: the folder, its imagesets, shards and bytes, and how many shards were there already."""

    folder: Path
    imagesets: int
    shards: int
    kept: int
    bytes: int
    labels: tuple[str, ...]


def build_shards(
    takes: Sequence[Path], out: Path, config: ShardConfig | None = None, *, bank: Path | None = None,
    subjects: Mapping[str, str] | None = None, truths: Sequence[Path] = (), scheduler: str = "threads",
    workers: int | None = None, overwrite: bool = False, progress: Progress | None = None,
    bright_progress: Progress | None = None, say: Callable[[str], object] = lambda _: None,
) -> BuildSummary:
    """Make the shards of some takes.

    Parameters
    ----------
    takes : sequence of Path
        Takes, ``NAME.olat.h5``.
    out : Path
        Folder of the shard set.
    config : ShardConfig, optional
        Settings.
    bank : Path, optional
        Lighting bank that training draws from; copied beside the shards. Needed for baked pictures.
    subjects : mapping, optional
        Subject of every take by its name; a take is its own subject where nothing is known.
    truths : sequence of Path, optional
        Truth of every take, for true labels of simulated ones: ``NAME.truth.h5`` of ``NAME.olat.h5`` in any order,
        files of other names in the order of the takes.
    scheduler, workers
        As for :func:`olatkit.jobs.schedulers.run_tasks`.
    overwrite : bool
        Replace a finished set that was made otherwise, file by file.
    progress, bright_progress : callable (done, total), optional
        Told of finished imagesets; of takes whose brightness was found before.
    say : callable, optional
        Told in a line what is kept of an interrupted build.

    Returns
    -------
    BuildSummary

    Raises
    ------
    OutputExistsError
        The folder holds a set, or part of one, made otherwise, and ``overwrite`` is False; or another build works there.
    ConfigError, FormatError, CaptureError, OSError
        One line says why; finished shards stay, and the same call goes on from there.

    Notes
    -----
    Equal takes and settings give equal bytes, whoever works and however often it was interrupted. A second build in the
    folder is refused while one runs. Warnings are told once the build is accepted; a refusal comes alone.
    """
    out = Path(out)
    config = config or ShardConfig()
    given = [out, *takes, *truths, *(path for name in MODELS if (path := getattr(config.labels, name)))]
    with ExitStack() as run:
        with held_warnings():
            plan = plan_shards(
                takes, config, bank_sha256=file_sha256(_readable(bank)) if bank else "", subjects=subjects,
                truths=truths, scheduler=scheduler,
            )
            if bank is not None:
                for split in sorted({take.split for take in plan.takes if config.bake}) or ["train"]:
                    open_sampler(bank, maps_for(split), config.lighting)  # says now what the tasks would say later
            finished = _is_finished(out, plan, overwrite)
            if not finished:
                run.enter_context(running_alone(out / BUILD))
                _prepare(out, plan, bank, overwrite)
        if finished:
            if (out / BUILD).is_dir():  # killed between its index and its end
                run.enter_context(running_alone(out / BUILD))
                _tidy(out, plan)
            say("all shards are there already")
            return _summary(out, plan, len(plan.shards))
        folder, numbers = str(task_path(out, scheduler)), range(len(plan.shards))
        whole = {number for number in numbers if whole_shard(out, plan, number) is not None}
        if whole:
            say(f"kept from an earlier run: {len(whole)} of {counted(len(plan.shards), 'shard')}")
        kappas = run_tasks(
            find_take_kappa, [(folder, plan.digest, take) for take in range(len(plan.takes))], scheduler=scheduler,
            workers=workers, progress=bright_progress, say=say, given=given,
        )
        todo = [number for number in numbers if number not in whole]
        tasks = [(folder, plan.digest, number, kappas[plan.shards[number].take]) for number in todo]
        weights = [plan.shards[number].count for number in todo]
        run_tasks(
            make_shard, tasks, scheduler=scheduler, workers=workers, weights=weights, progress=progress, say=say,
            given=given,
        )
        records = [whole_shard(out, plan, number) for number in numbers]
        _finish(out, plan, records, overwrite)
        return _summary(out, plan, len(whole))


def _is_finished(out: Path, plan: SetPlan, overwrite: bool) -> bool:
    """True if the set is whole and made from this plan; another one is refused unless it may be replaced."""
    if not (out / INDEX).is_file():
        return False
    try:
        index = read_index(out)
        whole = all(
            (out / shard.file).is_file() and (out / shard.file).stat().st_size == shard.bytes for shard in index.shards
        )
        if whole and index.settings.get("digest") == plan.digest and (out / BANK).is_file() >= bool(index.bank_sha256):
            return True
    except FormatError:
        pass
    if not overwrite:
        raise OutputExistsError(
            f"{out}: holds a shard set made from other takes or settings, or a damaged one; choose another folder or "
            "pass --overwrite"
        )
    return False


def _prepare(out: Path, plan: SetPlan, bank: Path | None, overwrite: bool) -> None:
    """Folder, plan and bank; shards of another build are refused unless they may be replaced."""
    from olatkit.io.documents import read_json

    stored = out / BUILD / "plan.json"
    if not overwrite and any(out.glob("shard-*.h5")):
        if not stored.is_file():
            raise OutputExistsError(f"{out}: holds shards without an index; choose another folder or pass --overwrite")
        if read_json(stored).get("digest") != plan.digest:
            raise OutputExistsError(
                f"{out}: holds an unfinished build of other takes or settings; choose another folder or pass --overwrite"
            )
    out.mkdir(parents=True, exist_ok=True)
    # A set whose files change is no whole set.
    (out / INDEX).unlink(missing_ok=True)
    write_plan(out, plan)
    _remove_unfinished(out)
    if bank is not None:
        copy_file(bank, out / BANK)


def _finish(out: Path, plan: SetPlan, records: Sequence[dict | None], overwrite: bool) -> None:
    """Write the index, after which the set is whole."""
    missing = [shard.file for shard, record in zip(plan.shards, records, strict=True) if record is None]
    if missing:
        raise FormatError(f"{out / missing[0]}: was made, and is not there or damaged; run the same command again")
    made = [record for record in records if record is not None]
    shards = tuple(
        ShardEntry(
            shard.file, record["bytes"], record["sha256"], plan.takes[shard.take].name, shard.first, shard.count,
            shard.pairs,
        )
        for shard, record in zip(plan.shards, made, strict=True)
    )
    of_take = {shard.take: record for shard, record in zip(plan.shards, made, strict=True)}
    takes = tuple(
        TakeEntry(
            take.name, take.subject, take.split, take.imagesets, take.lights, of_take[number]["kappa"],
            of_take[number]["labels"],
        )
        for number, take in enumerate(plan.takes)
    )
    config = plan.config
    settings = {**settings_of(config), "digest": plan.digest}
    index = ShardIndex(
        config.size, config.tile, config.bake, config.compression, plan.bank_sha256, takes, shards, settings
    )
    write_index(out, index, overwrite=overwrite)
    _tidy(out, plan)


def _tidy(out: Path, plan: SetPlan) -> None:
    """Remove what only the build needed, and shards of a set that this one replaced."""
    known = {shard.file for shard in plan.shards}
    for old in out.glob("shard-*.h5"):
        if old.name not in known:
            old.unlink()
    _remove_unfinished(out)
    shutil.rmtree(out / BUILD)


def _remove_unfinished(out: Path) -> None:
    """Remove what workers that were killed have left."""
    for left in (*out.glob("*.part"), *(out / BUILD).glob("*.part")):
        left.unlink(missing_ok=True)


def _summary(out: Path, plan: SetPlan, kept: int) -> BuildSummary:
    index = read_index(out)
    return BuildSummary(
        out, sum(take.imagesets for take in plan.takes), len(plan.shards), kept,
        sum(shard.bytes for shard in index.shards), tuple(sorted({take.labels for take in index.takes})),
    )


def _readable(path: Path) -> Path:
    if not Path(path).is_file():
        raise FormatError(f"{path}: no such file; make one with `olatkit bank build`")
    return Path(path)
