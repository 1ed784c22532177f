"""Make a lighting bank from a folder of environment maps: many files, many workers, resumable map by map."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from olatkit import __version__
from olatkit.errors import ConfigError, FormatError, OlatkitError
from olatkit.io.banks import LightingBank, write_bank
from olatkit.io.environments import examine_environment, file_rotation
from olatkit.io.outputs import refuse_existing, whole_file
from olatkit.jobs.schedulers import Progress, as_given, run_tasks, task_path
from olatkit.render.bank import hold_out, make_entry, scene_name
from olatkit.wording import counted

log = logging.getLogger(__name__)

# Pictures of 8 bits hold no suns, and folders of maps often have previews beside them: they are not collected.
SUFFIXES = (".hdr", ".exr")
# A task of some tenths of a second, so that Dask's own share of it is small.
MAPS_PER_TASK = 4
# In the folder of parts: what they are parts of, for `olatkit info`.
PLAN = "plan.json"

Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]


class BankConfig(BaseModel):
    """How a bank is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    center: Axis = Field("-z", description="world direction that the centre of the files shows")
    up: Axis = Field("+y", description="world direction that their top row shows")
    flip: bool = Field(False, description="mirror left and right first")
    any_aspect: bool = Field(False, description="accept large files that are not twice as wide as high")
    test_share: float = Field(1 / 3, ge=0, lt=1, description="share of the maps to hold out, by whole scenes")
    test_scenes: tuple[str, ...] = Field((), description="scenes to hold out in any case")
    seed: int = Field(0, ge=0, description="another seed, other scenes held out")
    skip_bad: bool = Field(False, description="leave out files that cannot be used, instead of stopping")

    @property
    def reading(self) -> dict[str, Any]:
        """The settings that decide what is read from a file."""
        return {"center": self.center, "up": self.up, "flip": self.flip, "any_aspect": self.any_aspect}


@dataclass(frozen=True)
class BankSummary:
    """What a build made.

    ``bank``; ``resumed`` maps whose parts were there already; ``bad`` one line for each file left out;
    ``duplicates`` (name, name of the equal file that was kept).
    """

    bank: LightingBank
    resumed: int
    bad: tuple[str, ...]
    duplicates: tuple[tuple[str, str], ...]


def build_bank(
    folder: str | os.PathLike[str], out: str | os.PathLike[str], config: BankConfig | None = None, *,
    scheduler: str = "threads", workers: int | None = None, overwrite: bool = False, progress: Progress | None = None,
    resumed: Callable[[int], object] | None = None,
) -> BankSummary:
    """Read every map of a folder, reduce it, and write the bank.

    Parameters
    ----------
    folder : path
        Searched with its subfolders for .hdr and .exr files.
    out : path
        ``bank.h5``. Finished maps wait in ``bank.h5.parts`` until all are there; a run that was stopped goes on.
    config : BankConfig, optional
    scheduler, workers, progress
        As for :func:`olatkit.jobs.schedulers.run_tasks`.
    overwrite : bool
        Replace an existing bank when the new one is whole.
    resumed : callable, optional
        Called once before the work, with the maps that an earlier run had finished.

    Returns
    -------
    BankSummary

    Raises
    ------
    FormatError
        No maps, or files that cannot be used (unless ``skip_bad``); all others have been read by then and are kept.
    ConfigError
        Settings that contradict each other or the maps.
    OutputExistsError
        The bank exists and ``overwrite`` is false.

    Notes
    -----
    The bytes of a bank depend on the files, their names and the settings, not on workers or interruptions. Of files with
    the same content one is kept: a copy under another name could otherwise stand on both sides of the split.
    """
    config = config or BankConfig()
    folder, out = Path(folder), Path(out)
    refuse_existing(out, overwrite=overwrite)
    try:
        file_rotation(config.center, config.up)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    files = find_maps(folder)
    names = [path.relative_to(folder).as_posix() for path in files]
    parts_folder = out.with_name(out.name + ".parts")
    parts = [parts_folder / _part_name(name, path, config) for name, path in zip(names, files, strict=True)]
    todo = [i for i, part in enumerate(parts) if not part.is_file()]
    parts_folder.mkdir(parents=True, exist_ok=True)
    plan = {"command": "bank", "source": str(folder), "parts": [part.name for part in parts]}
    with whole_file(parts_folder / PLAN, overwrite=True) as unfinished:
        unfinished.write_text(json.dumps(plan), encoding="utf-8")
    if resumed:
        resumed(len(files) - len(todo))
    batches = [todo[i : i + MAPS_PER_TASK] for i in range(0, len(todo), MAPS_PER_TASK)]
    tasks = [
        (*([str(task_path(paths[i], scheduler)) for i in batch] for paths in (files, parts)), config.reading)
        for batch in batches
    ]
    done = run_tasks(
        reduce_maps, tasks, scheduler=scheduler, workers=workers, weights=[len(batch) for batch in batches],
        progress=progress, given=[folder, out],
    )
    bad = tuple(as_given(line, [folder]) for lines in done for line in lines)
    if bad and not config.skip_bad:
        first, those = bad[0], "it"
        if len(bad) > 1:
            first, those = f"{len(bad)} of {len(files)} files cannot be used, the first is {bad[0]}", "them"
        raise FormatError(
            f"{first}; repair or remove {those}, or leave {those} out with --skip-bad. "
            f"{counted(len(files) - len(bad), 'other map')} done and waiting in {parts_folder.name}"
        )
    usable = [i for i, part in enumerate(parts) if part.is_file()]
    if not usable:
        raise FormatError(f"{folder}: no map can be used of {len(files)}; the first: {bad[0]}")
    bank, duplicates = _gather([names[i] for i in usable], [parts[i] for i in usable], config)
    write_bank(out, bank, overwrite=overwrite)
    for part in parts_folder.glob("*.npz*"):
        part.unlink()
    (parts_folder / PLAN).unlink()
    parts_folder.rmdir()
    return BankSummary(bank, len(files) - len(todo), bad, duplicates)


def find_maps(folder: Path) -> list[Path]:
    """All .hdr and .exr files of a folder and its subfolders, by name; FormatError if there are none."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise FormatError(f"{folder}: {what}; name the folder that holds the environment maps")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise FormatError(f"{folder}: holds no .hdr or .exr file, nor do its subfolders")
    return found


def reduce_maps(files: Sequence[str], parts: Sequence[str], reading: dict[str, Any]) -> list[str]:
    """Read maps and write the small forms of each to its part; returns one line for each file that cannot be used."""
    bad = []
    for file, part in zip(files, parts, strict=True):
        try:
            environment, notes = examine_environment(file, **reading)
        except OlatkitError as error:
            bad.append(" ".join(str(error).split()))
            continue
        lighting, fine, scale = make_entry(environment)
        digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        with whole_file(part, overwrite=True) as unfinished, unfinished.open("wb") as stream:
            np.savez(stream, lighting=lighting, fine=fine, scale=scale, sha256=digest, notes="; ".join(notes))
    return bad


def _part_name(name: str, path: Path, config: BankConfig) -> str:
    """Name of a map's part: another one when the file, the settings or this program change."""
    state = path.stat()
    content = [name, state.st_size, state.st_mtime_ns, config.reading, __version__]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32] + ".npz"


def _gather(
    names: Sequence[str], parts: Sequence[Path], config: BankConfig
) -> tuple[LightingBank, tuple[tuple[str, str], ...]]:
    """The bank of all parts, without copies of one file."""
    first: dict[str, str] = {}
    duplicates, entries, kept = [], [], []
    for name, part in zip(names, parts, strict=True):
        with np.load(part) as stored:
            entry = {key: stored[key] for key in stored.files}
        digest = str(entry["sha256"])
        if digest in first:
            duplicates.append((name, first[digest]))
            continue
        first[digest] = name
        entries.append(entry)
        kept.append(name)
    scenes = tuple(scene_name(name) for name in kept)
    try:
        test = hold_out(scenes, config.test_share, seed=config.seed, always=config.test_scenes)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    lighting, fine, scale = (np.stack([entry[key] for entry in entries]) for key in ("lighting", "fine", "scale"))
    bank = LightingBank(
        lighting, fine, scale, tuple(kept), scenes, test, tuple(str(entry["sha256"]) for entry in entries),
        tuple(str(entry["notes"]) for entry in entries), {**config.model_dump(mode="json"), "olatkit": __version__},
    )
    return bank, tuple(duplicates)
