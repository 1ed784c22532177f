"""Explain trainings: the folder of a run, and its checkpoints, by the words that stand beside their tensors."""

import csv
import json
from pathlib import Path
from typing import Any

from olatkit.errors import FormatError
from olatkit.io.facts import Description, Fact, file_size, number, text

# Columns of the last row of metrics.csv that are told, and how.
_TOLD = {
    "total": ("loss", ".4g", ""), "psnr": ("training pictures", ".1f", "dB"),
    "val_psnr": ("unseen subjects and light", ".1f", "dB"), "val_copy_psnr": ("their unchanged input", ".1f", "dB"),
    "pairs_per_s": ("speed", ".3g", "pairs per s"), "waiting": ("share of time waiting for samples", ".2g", ""),
}


def describe_run(folder: Path) -> Description:
    """The folder of a training: its newest checkpoint and the last row of its metrics."""
    found = sorted(folder.glob("step-*.json"))
    facts = list(_checkpoint_facts(found[-1])) if found else [text("checkpoints", "none yet", "checkpoint")]
    if found:
        facts.insert(0, text("checkpoint", found[-1].with_suffix(".pt").name, "checkpoint"))
    facts += _metric_facts(folder / "metrics.csv")
    facts.append(file_size(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())))
    return Description("folder of a training", tuple(facts))


def describe_checkpoint(path: Path) -> Description:
    """A checkpoint, ``step-N.pt`` or the ``step-N.json`` beside it, from the latter."""
    words = path.with_suffix(".json")
    if not words.is_file():
        raise FormatError(f"{path}: explained by {words.name}, which is missing beside it; copy both from the training")
    return Description("checkpoint of a training", (*_checkpoint_facts(words), file_size(path.stat().st_size)))


def is_checkpoint(document: dict[str, Any]) -> bool:
    """Whether a JSON document is the description of a checkpoint."""
    return {"schema", "variant", "step", "config"} <= document.keys()


def _checkpoint_facts(path: Path) -> tuple[Fact, ...]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        stages, steps = document["config"]["stages"], int(document["config"]["steps"])
        sizes = [int(stage["size"]) for stage in stages]
        processes = int(document["processes"])
        losses = [name for name in ("structure", "parsing", "temporal", "adversarial") if document["config"]["losses"][name]]
        return (
            text("network", f"variant {document['variant']}, activation {document['activation']}", "variant"),
            Fact("step", f"{document['step']} of {steps}", "step", int(document["step"])),
            # A checkpoint counts what each process took, from where its loader goes on; metrics.csv counts all of them.
            number("pairs seen", int(document["pairs"]) * processes, "", "pairs"),
            Fact("picture sizes", ", ".join(f"{size} px" for size in sizes), "sizes_px", sizes),
            Fact("losses", ", ".join(["basic", *losses]), "losses", ["basic", *losses]),
            number("processes", processes, "", "processes"),
            Fact("changed on the way", "; ".join(document.get("changes", [])) or "nothing", "changes",
                 document.get("changes", [])),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: no description of a checkpoint ({' '.join(str(error).split())})") from error


def _metric_facts(path: Path) -> list[Fact]:
    """The newest measurements; none if there are none yet."""
    if not path.is_file():
        return []
    facts = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for key, (label, form, unit) in _TOLD.items():
            values = [row[key] for row in rows if row.get(key)]
            if values:
                facts.append(number(label, float(values[-1]), unit, key, form))
    except (ValueError, csv.Error) as error:
        raise FormatError(f"{path}: no metrics of a training ({error}); copy the file again") from error
    return facts
