"""A training set from simulated actors: a take of exact imagesets for each, without camera, noise or ingest."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from olatkit import __version__
from olatkit.errors import FormatError, OutputExistsError
from olatkit.io.documents import rig_from_document, rig_to_document
from olatkit.io.outputs import whole_file
from olatkit.io.run_lock import running_alone
from olatkit.io.takes import open_take
from olatkit.jobs.exact_takes import make_take, take_path, truth_path
from olatkit.jobs.schedulers import Progress, run_tasks, task_path
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule, schedule_from_document, schedule_to_document
from olatkit.simulate.cast import TEST, Actor
from olatkit.wording import counted

SET, SHARDS = "set.json", "shards.yaml"


@dataclass(frozen=True)
class SetPlan:
    """Everything that a worker needs to know.

    ``size`` is (height, width) [px]; ``expression`` scales mimic; ``device`` renders; ``imagesets`` is the length of
    each take, at the stride and frame rate of ``schedule``. ``face_model`` is the ICT face model that the actors are drawn
    from, with the SHA-256 of its file; '' for the built-in head.
    """

    actors: tuple[Actor, ...]
    rig: LightRig
    schedule: LightingSchedule
    imagesets: int
    size: tuple[int, int]
    expression: float = 1.0
    device: str = "cpu"
    face_model: str = ""
    face_model_sha256: str = ""

    @property
    def digest(self) -> str:
        """What decides the pictures; not the device, which changes them by rounding only."""
        content = {name: value for name, value in _document(self).items() if name not in ("device", "actors", "face_model")}
        return hashlib.sha256(json.dumps([content, __version__], sort_keys=True).encode()).hexdigest()

    def digest_of(self, actor: Actor) -> str:
        """What decides the take of one actor, wherever it stands in the set."""
        return hashlib.sha256(f"{self.digest} {actor.name} {actor.seed} {actor.speed_px}".encode()).hexdigest()


@dataclass(frozen=True)
class SetSummary:
    """What was made: the folder, its takes, how many imagesets, and how many takes were there already."""

    folder: Path
    takes: tuple[Path, ...]
    imagesets: int
    kept: int


def simulate_set(
    plan: SetPlan, out: str | os.PathLike[str], *, scheduler: str = "threads", workers: int | None = None,
    overwrite: bool = False, progress: Progress | None = None, say: Callable[[str], object] = lambda _: None,
) -> SetSummary:
    """Make ``NAME.olat.h5`` and ``NAME.truth.h5`` of every actor; ``set.json`` and ``shards.yaml`` beside them.

    Parameters
    ----------
    plan : SetPlan
        Who, how often, under which lights.
    out : path
        Folder of the set; made if missing.
    scheduler, workers
        As for :func:`olatkit.jobs.schedulers.run_tasks`; a task is one actor.
    overwrite : bool
        Replace takes that were made otherwise.
    progress : callable (done, total), optional
        Told of finished imagesets.
    say : callable, optional
        Told in a line what is kept of an interrupted run.

    Raises
    ------
    OutputExistsError
        A take of the same name was made otherwise, and ``overwrite`` is False.
    ConfigError
        The device is not there.

    Notes
    -----
    Run it again after an interruption: whole takes and whole imagesets are kept. More subjects can be added later,
    and only theirs are made. Equal plans give equal bytes on one device, whoever works.
    """
    out = Path(out)
    whole = [_is_whole(out, plan, actor) for actor in plan.actors]
    for actor, there in zip(plan.actors, whole, strict=True):
        if take_path(out, actor.name).exists() and not there and not overwrite:
            raise OutputExistsError(
                f"{take_path(out, actor.name)}: was made with other settings; give --overwrite to replace it, or "
                "choose another folder"
            )
    if any(whole):
        say(f"kept from an earlier run: {sum(whole)} of {counted(len(whole), 'take')}")
    with running_alone(out):
        write_set(out, plan)
        todo = [number for number, there in enumerate(whole) if not there]
        run_tasks(
            make_actor, [(str(task_path(out, scheduler)), number) for number in todo], scheduler=scheduler, workers=workers,
            weights=[plan.imagesets] * len(todo), progress=progress, given=[out],
        )
    takes = tuple(take_path(out, actor.name) for actor in plan.actors)
    return SetSummary(out, takes, plan.imagesets * len(takes), sum(whole))


def make_actor(folder: str, number: int) -> None:
    """Task: the take of one actor of the set in ``folder``."""
    plan = read_set(Path(folder))
    actor = plan.actors[number]
    make_take(plan, actor, Path(folder), plan.digest_of(actor))


def write_set(out: Path, plan: SetPlan) -> None:
    """``set.json``, the plan; ``shards.yaml``, settings with which ``olatkit build-shards`` reads the set."""
    tests = [actor.name for actor in plan.actors if actor.split == TEST]
    shards = (
        f"# Settings of build-shards for this set: subjects for tests, true labels.\nsize: {min(plan.size)}\n"
        f"splits: {json.dumps({'test': tests} if tests else {})}\nlabels: {{parsing: truth}}\n"
    )
    for name, text in ((SET, json.dumps(_document(plan), indent=1) + "\n"), (SHARDS, shards)):
        with whole_file(out / name, overwrite=True) as part:
            part.write_text(text, encoding="utf-8")


def read_set(out: Path) -> SetPlan:
    """The plan of a set; FormatError if it is missing or damaged."""
    path = out / SET
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        actors: Sequence[dict] = document["actors"]
        return SetPlan(
            tuple(Actor(**actor) for actor in actors), rig_from_document(document["rig"], source=str(path)),
            schedule_from_document(document["schedule"], source=str(path)), document["imagesets"],
            tuple(document["size"]), document["expression"], document["device"], document["face_model"],
            document["face_model_sha256"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: no plan of a simulated set ({' '.join(str(error).split())}); the folder must be "
                          "visible to all workers under the same path") from error


def _document(plan: SetPlan) -> dict:
    return {
        "actors": [asdict(actor) for actor in plan.actors], "imagesets": plan.imagesets, "size": list(plan.size),
        "expression": plan.expression, "device": plan.device, "face_model": plan.face_model,
        "face_model_sha256": plan.face_model_sha256, "rig": rig_to_document(plan.rig),
        "schedule": schedule_to_document(plan.schedule),
    }


def _is_whole(out: Path, plan: SetPlan, actor: Actor) -> bool:
    """True if take and truth of an actor are there, made from this plan."""
    path = take_path(out, actor.name)
    if not path.is_file() or not truth_path(out, actor.name).is_file():
        return False
    with open_take(path) as take:
        return take.notes.get("digest") == plan.digest_of(actor)
