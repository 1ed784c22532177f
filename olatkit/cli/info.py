"""``olatkit info``: explain files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from olatkit.io.facts import Description


@click.command(short_help="Explain any file: stream, take, rig, schedule, map, shards, training.")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON list for machines; keys end in their units.")
def command(files: tuple[Path, ...], as_json: bool) -> None:
    """Explain each FILE: a capture stream, take, rig, schedule, environment map, picture, truth of a simulated take,
    the .parts folder of a command that was interrupted, a lighting bank, a set of shards, a training, settings.

    A file of no known kind is one line on stderr and exit code 1; the others are explained all the same.
    """
    from olatkit.io.describe import describe

    explain(files, describe, as_json=as_json)


def explain(files: tuple[Path, ...], describe: "Callable[[Path], Description]", *, as_json: bool) -> None:
    """Print what each file is, then a line on stderr for each of which that cannot be said; the last one is raised."""
    from olatkit.errors import OlatkitError

    found: list[tuple[Path, Description]] = []
    errors: list[OlatkitError] = []
    for path in files:
        try:
            found.append((path, describe(path)))
        except OlatkitError as error:
            errors.append(error)
    if found or as_json:
        click.echo(as_json_list(found) if as_json else "\n\n".join(as_text(path, item) for path, item in found))
    for problem in errors[:-1]:
        click.echo(f"olatkit: {' '.join(str(problem).split())}", err=True)
    if errors:
        raise errors[-1]


def as_text(path: Path, description: "Description") -> str:
    """Kind on the first line, then aligned facts."""
    width = max(len(fact.label) for fact in description.facts)
    lines = [f"  {fact.label:<{width}}  {fact.text}" for fact in description.facts]
    return "\n".join([f"{path}: {description.kind}", *lines])


def as_json_list(found: "list[tuple[Path, Description]]") -> str:
    """All facts as JSON; what is not finite becomes null, since JSON has no word for it."""
    import json

    items = [
        {"path": str(path), "kind": item.kind, **{fact.key: _finite(fact.value) for fact in item.facts}}
        for path, item in found
    ]
    return json.dumps(items, indent=1, default=str)  # settings in YAML may hold dates


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(v) for v in value]
    if isinstance(value, dict):
        return {str(key): _finite(v) for key, v in value.items()}
    return None if isinstance(value, float) and value - value != 0 else value
