"""Options and the progress bar that several commands share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import TaskID

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace existing outputs, file by file.")
workers_option = click.option(
    "--workers", type=click.IntRange(min=1), default=None, help="Workers at once.  [default: one per core]"
)
scheduler_option = click.option(
    "--scheduler",
    default="threads",
    show_default=True,
    envvar="OLATKIT_SCHEDULER",
    metavar="WHERE",
    help="sync, threads, processes, tcp://host:port or a scheduler file.",
)


def parse_size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Turn '512' or '640x480' (width x height) into (height, width)."""
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{value!r} is no size, expected e.g. 512 or 640x480 (width x height)")
    width, height = int(parts[0]), int(parts[-1])
    return height, width


@contextmanager
def progress_bar(*texts: str) -> Iterator[Any]:
    """Yield ``progress(done, total)`` that draws a bar with ETA on stderr; a tuple of them for several texts."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )

    def teller(text: str) -> Callable[[int, int], None]:
        tasks: list[TaskID] = []

        def tell(done: int, total: int) -> None:
            # The bar appears with the first news, so that its clock starts with the work.
            if not tasks:
                tasks.append(bar.add_task(text, total=total))
            bar.update(tasks[0], completed=done, total=total)

        return tell

    console = Console(stderr=True)
    # In a log file a bar is noise, and an error is to stand alone.
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tellers = tuple(teller(text) for text in texts)
        yield tellers if len(tellers) > 1 else tellers[0]
