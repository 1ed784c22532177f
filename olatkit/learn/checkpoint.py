"""Checkpoints: ``step-N.pt`` with tensors and plain values, and ``step-N.json`` to read by eye."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from olatkit.errors import ConfigError, FormatError, OutputExistsError
from olatkit.io.outputs import whole_file
from olatkit.learn.blocks import place
from olatkit.learn.config import TrainConfig
from olatkit.learn.distributed import Ranks
from olatkit.learn.network import RelightingNetwork
from olatkit.learn.state import TrainingState, pack_state, unpack_state
from olatkit.learn.variants import VARIANTS

SCHEMA = 1
# What a checkpoint must hold to be looked at, evaluated or resumed.
_KEYS = ("variant", "parsing_channels", "activation", "step", "pairs", "processes", "config", "network", "average")
_NAME = re.compile(r"step-(\d+)\.pt")
# Settings that may differ between a run and its continuation: they change the result by rounding at most.
_HARMLESS = ("report.", "loader.workers", "compile")


def open_run(
    folder: Path, state: TrainingState, config: TrainConfig, ranks: Ranks, *, resume: bool, overwrite: bool,
    accept_changes: bool = False,
) -> None:
    """Begin a run in a folder, or bring ``state`` to the newest checkpoint there.

    Raises
    ------
    OutputExistsError
        The folder holds a run, and neither ``resume`` nor ``overwrite`` is given.
    ConfigError
        The run was made with other settings or on other data, and ``accept_changes`` is not given or cannot help.
    """
    found = find_checkpoints(folder)
    if found and resume:
        _continue(state, read_checkpoint(found[-1]), config, ranks, accept_changes=accept_changes)
    elif found and not overwrite:
        raise OutputExistsError(
            f"{folder}: holds a training up to {found[-1].stem}; --resume continues it, --overwrite starts anew"
        )
    ranks.wait()
    if ranks.first:
        for old in () if resume else found:
            _remove(old)
        with whole_file(folder / "train.yaml", overwrite=True) as part:
            part.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def save_checkpoint(
    folder: Path, state: TrainingState, config: TrainConfig, *, processes: int = 1, keep: int = 2
) -> Path:
    """Write a checkpoint, whole or not at all, and remove all but the newest ``keep`` of the folder; returns its path."""
    facts = {
        "schema": SCHEMA, **state.network.form, "step": state.step, "pairs": state.pairs, "processes": processes,
        "data_sha256": state.data, "changes": state.changes, "config": config.model_dump(mode="json"),
    }
    path = folder / f"step-{state.step:07d}.pt"
    with whole_file(path, overwrite=True) as part:
        torch.save({**facts, **pack_state(state)}, part)
    with whole_file(path.with_suffix(".json"), overwrite=True) as part:
        part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    for old in find_checkpoints(folder)[:-keep]:
        _remove(old)
    return path


def find_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first; none if there is no such folder."""
    found = [path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(_NAME.fullmatch(path.name)[1]))  # type: ignore[index]


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint, or the newest one of a run's folder, into memory.

    Raises
    ------
    FormatError
        There is none, the file is damaged, or of another schema.
    """
    path = Path(path)
    if path.is_dir():
        found = find_checkpoints(path)
        if not found:
            raise FormatError(f"{path}: holds no checkpoint (step-*.pt); give the folder of a training run")
        path = found[-1]
    if path.suffix == ".json":
        raise FormatError(f"{path}: describes a checkpoint; give {path.with_suffix('.pt').name}, or the folder of the run")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FormatError(f"{path}: no such checkpoint") from None
    except Exception as error:  # torch raises whatever its unpickler met
        raise FormatError(
            f"{path}: not a whole checkpoint of olatkit; if it was damaged, delete it, and the one before is the newest"
        ) from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise FormatError(f"{path}: a checkpoint of schema {schema}, expected {SCHEMA}; train again, or use the olatkit "
                          "that wrote it")
    missing = [key for key in _KEYS if key not in data]
    if missing:
        raise FormatError(f"{path}: not a whole checkpoint of olatkit, it has no '{missing[0]}'; --resume goes on from "
                          "the one before if it is deleted")
    if data["variant"] not in VARIANTS:
        raise FormatError(f"{path}: a checkpoint of variant '{data['variant']}', expected {', '.join(VARIANTS)}")
    return {**data, "path": str(path)}


def _continue(
    state: TrainingState, checkpoint: dict[str, Any], config: TrainConfig, ranks: Ranks, *, accept_changes: bool
) -> None:
    """Take over a checkpoint, if it is of the same run or may be changed."""
    path = checkpoint["path"]
    if checkpoint["variant"] != config.variant:
        raise ConfigError(f"{path}: a checkpoint of variant '{checkpoint['variant']}', but the settings say "
                          f"'{config.variant}'; start a new run in another folder")
    changes = find_changes(checkpoint, config, ranks.count, state.data)
    if changes and not accept_changes:
        raise ConfigError(f"{path}: cannot resume with {changes}; restore what it was, go on all the same with "
                          "--accept-changes, or start a new run in another folder")
    if config.steps < checkpoint["step"]:
        raise ConfigError(f"{path}: steps is {config.steps}, but this run has {checkpoint['step']} behind it; give more")
    try:
        unpack_state(state, checkpoint, ranks.device)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        reason = f"with {changes}, the network or critic has another form" if changes else "its weights do not fit"
        raise ConfigError(f"{path}: cannot resume: {reason}; start a new run in another folder") from error
    state.changes = list(checkpoint.get("changes", []))
    if changes:
        state.changes.append(f"step {state.step}: {changes}")
        state.memory.clear()  # its pictures may have another size


def find_changes(checkpoint: Mapping[str, Any], config: TrainConfig, processes: int, data: Mapping[str, str]) -> str:
    """What changes the result of a training that goes on, in words with both values; '' if nothing does."""
    old, new = _flatten(checkpoint["config"]), _flatten(config.model_dump(mode="json"))
    old["processes"], new["processes"] = checkpoint["processes"], processes
    settings = [
        f"{key} ({old.get(key)} -> {new.get(key)})" for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(_HARMLESS)
    ]
    # Hashes stand for files; runs without them, from other sources than shards, have nothing to compare.
    before = checkpoint.get("data_sha256") or data
    files = [
        f"{name} (SHA-256 {_short(before.get(name))} -> {_short(data.get(name))})"
        for name in sorted(before.keys() | data.keys()) if before.get(name) != data.get(name)
    ]
    kinds = {"changed settings": settings, "other data": files}
    return " and ".join(f"{kind}: {', '.join(found)}" for kind, found in kinds.items() if found)


def load_network(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu", averaged: bool = True
) -> RelightingNetwork:
    """The trained network of a run or checkpoint, ready to relight.

    Parameters
    ----------
    path : path-like
        Run folder (its newest checkpoint), or one ``step-N.pt``.
    device : str or torch.device
        Where its weights go.
    averaged : bool
        The averaged weights, or those of the last step.

    Returns
    -------
    RelightingNetwork
        In evaluation mode, without gradients.

    Raises
    ------
    FormatError
        See :func:`read_checkpoint`; or its weights do not fit its variant.
    """
    checkpoint = read_checkpoint(path)
    network = RelightingNetwork(
        checkpoint["variant"], parsing_channels=checkpoint["parsing_channels"], activation=checkpoint["activation"],
        norm=checkpoint.get("norm"), light_levels=checkpoint.get("light_levels"),
    )
    try:
        network.load_state_dict(checkpoint["average" if averaged else "network"])
    except RuntimeError as error:
        raise FormatError(
            f"{checkpoint['path']}: its weights are not those of variant '{checkpoint['variant']}'"
        ) from error
    place(network, device)
    return network.requires_grad_(False).eval()


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint and its description."""
    checkpoint.unlink()
    checkpoint.with_suffix(".json").unlink(missing_ok=True)


def _short(digest: str | None) -> str:
    """Enough of a hash to tell files apart by eye."""
    return digest[:8] if digest else "none"


def _flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Settings by dotted key, ``stages[0].batch`` for those in a list."""
    if isinstance(settings, dict):
        parts = [(f"{prefix}.{key}" if prefix else key, value) for key, value in settings.items()]
    elif isinstance(settings, list) and settings and isinstance(settings[0], dict):
        parts = [(f"{prefix}[{number}]", value) for number, value in enumerate(settings)]
    else:
        return {prefix: settings}
    return {key: value for name, part in parts for key, value in _flatten(part, name).items()}
