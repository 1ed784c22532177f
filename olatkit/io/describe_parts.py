"""Explain the folder in which a command keeps finished work until all is there: ingest, import, render, bank build."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.facts import Description, Fact, file_size, text
from olatkit.io.take_writing import part_is_whole


def describe_parts(path: Path) -> Description:
    """How far an interrupted run came, and that its command goes on; FormatError if its plan tells of no such work."""
    try:
        plan = json.loads((path / "plan.json").read_text(encoding="utf-8"))
        if plan.get("command") == "import":
            return _import(path, plan)
        if plan.get("command") == "bank":
            return _bank(path, plan)
        return _render(path, plan) if "lightings" in plan else _ingest(path, plan)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"no '{error.args[0]}'" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise FormatError(
            f"{path}: its plan.json is not that of an unfinished ingest, import, render or bank ({why}); the command that "
            "made the folder tells whether it can go on"
        ) from error


def _ingest(path: Path, plan: Mapping[str, Any]) -> Description:
    with np.load(path / "plan.npz") as arrays:
        wanted = len(arrays["references"])
    done = sum(part_is_whole(path / f"{i:06d}.h5", plan["digest"]) for i in range(wanted))
    return _description(path, "ingest", "imagesets", done, wanted, text("source", str(plan["source"]), "source"))


def _import(path: Path, plan: Mapping[str, Any]) -> Description:
    wanted = len(plan["pictures"])
    done = sum(part_is_whole(path / f"{light:06d}.h5", plan["digest"]) for light in range(wanted))
    return _description(path, "import", "pictures", done, wanted, text("source", str(plan["source"]), "source"))


def _bank(path: Path, plan: Mapping[str, Any]) -> Description:
    parts = plan["parts"]
    done = sum((path / part).is_file() for part in parts)
    return _description(path, "bank build", "maps", done, len(parts), text("source", str(plan["source"]), "source"))


def _render(path: Path, plan: Mapping[str, Any]) -> Description:
    chunks = plan["chunks"]
    done = sum(count for number, count in enumerate(chunks) if (path / f"{number:05d}.done").is_file())
    take = str(plan["take"]).rsplit(" ", 2)[0]  # its size and time of change stand behind the name
    lit = [str(lighting["name"]) for lighting in plan["lightings"]]
    shown = ", ".join(lit[:6]) + (f" and {len(lit) - 6} more" if len(lit) > 6 else "")
    return _description(path, "render", "pictures", done, sum(chunks), text("take", take, "take"),
                        Fact("lit by", shown, "lightings", lit))


def _description(path: Path, command: str, noun: str, done: int, wanted: int, *origin: Fact) -> Description:
    """What all such folders have: where the work comes from, how much is done, what to do."""
    facts = (
        *origin, Fact(noun, f"{done} of {wanted} done", f"{noun}_done", [done, wanted]),
        text("next", f"run the same {command} again: it goes on where it stopped", "next"),
        file_size(sum(file.stat().st_size for file in path.rglob("*") if file.is_file())),
    )
    return Description(f"parts of an unfinished {command}", facts)
