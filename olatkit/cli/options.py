"""Options and the progress report that several commands share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from olatkit.wording import counted

if TYPE_CHECKING:
    from rich.progress import TaskID

LINE_SECONDS = 3.0
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


def say_kept(count: int, noun: str) -> None:
    """Tell what an interrupted run had finished, if anything."""
    if count:
        click.echo(f"kept from an interrupted run: {counted(count, noun)}", err=True)


@contextmanager
def progress_bar(*texts: str, unit: str = "") -> Iterator[Any]:
    """Yield ``progress(done, total, note="")`` that reports on stderr; a tuple of them for several texts.

    A terminal sees a bar with ETA. A log file gets a line for every tenth of the work, but none of work that is done
    within seconds. With a ``unit`` such as "imagesets" both say how many of them are done per second; a ``note`` is
    shown beside that.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        tellers = tuple(_teller_of_lines(text, unit) for text in texts)
        yield tellers if len(tellers) > 1 else tellers[0]
        return
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
        TextColumn("{task.fields[rate]}"),
    )

    def teller(text: str) -> Callable[..., None]:
        tasks: list[TaskID] = []

        def tell(done: int, total: int, note: str = "") -> None:
            # The bar appears with the first news, so that its clock starts with the work.
            if not tasks:
                tasks.append(bar.add_task(text, total=total, rate=""))
            rate = _rate(done, bar.tasks[tasks[0]].elapsed, unit)
            bar.update(tasks[0], completed=done, total=total, rate=f"{rate} {note}".strip())

        return tell

    with Progress(*columns, console=console) as bar:
        tellers = tuple(teller(text) for text in texts)
        yield tellers if len(tellers) > 1 else tellers[0]


def _rate(done: int, elapsed_s: float | None, unit: str) -> str:
    """Such as '1.25 imagesets/s', once there is something to tell."""
    return f"{done / elapsed_s:.3g} {unit}/s" if unit and done and elapsed_s else ""


def _teller_of_lines(text: str, unit: str) -> Callable[..., None]:
    """Tell of progress in lines, at most one in :data:`LINE_SECONDS` and one for a tenth of the work."""
    from time import monotonic

    start = spoken = monotonic()
    tenth = first = -1

    def tell(done: int, total: int, note: str = "") -> None:
        nonlocal start, spoken, tenth, first
        now = monotonic()
        if first < 0:
            # The clock starts with the first news; what a resumed run found done was no work of this one.
            start, spoken, first, tenth = now, now, done, 10 * done // max(total, 1)
        if now - spoken < LINE_SECONDS or 10 * done // max(total, 1) <= tenth:
            return
        spoken, tenth = now, 10 * done // total
        left = (now - start) / (done - first) * (total - done)
        more = [part for part in (_rate(done - first, now - start, unit), note) if part]
        times = [f"{_clock(now - start)} gone", f"{_clock(left)} left"]
        click.echo(f"{text}: {', '.join([f'{done} of {total}', *times, *more])}", err=True)

    return tell


def _clock(seconds: float) -> str:
    """12 s, 3 min 05 s or 2 h 10 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
