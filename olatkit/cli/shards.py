"""``olatkit shards``: what can be done with a folder of shards."""

from pathlib import Path

import click

from olatkit.cli.options import overwrite_option, progress_bar, scheduler_option, workers_option
from olatkit.wording import counted

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(name="shards")
def command() -> None:
    """Explain, verify, show and merge the folders that `olatkit build-shards` writes."""


@command.command()
@click.argument("folder", type=_FOLDER)
def info(folder: Path) -> None:
    """Say what FOLDER holds; no shard is opened."""
    from olatkit.cli.info import as_text
    from olatkit.io.describe_shards import describe_shard_set

    click.echo(as_text(folder, describe_shard_set(folder)))


@command.command()
@click.argument("folder", type=_FOLDER)
@scheduler_option
@workers_option
def verify(folder: Path, scheduler: str, workers: int | None) -> None:
    """Check every hash and law of FOLDER; each problem is a line, and any of them makes exit code 1."""
    from olatkit.errors import FormatError
    from olatkit.jobs.verify_shards import verify_shards

    with progress_bar("verifying", unit="imagesets") as progress:
        problems = verify_shards(folder, scheduler=scheduler, workers=workers, progress=progress)
    for line in problems:
        click.echo(" ".join(line.split()))
    if problems:
        raise FormatError(f"{folder}: {counted(len(problems), 'problem')}; delete the files named, then "
                          "run build-shards with the same arguments and --overwrite")
    click.echo(f"{folder}: all hashes and laws hold")


@command.command()
@click.argument("folder", type=_FOLDER)
@click.option("-o", "--output", type=_FOLDER, required=True, help="Folder to write.")
@click.option("--split", help="Only the takes of this split.")
@click.option("--instants", default=4, show_default=True, type=click.IntRange(min=1), help="Rows of a contact sheet.")
@click.option("--fps", default=25.0, show_default=True, type=click.FloatRange(min=0, min_open=True), help="Of the video.")
@overwrite_option
def show(folder: Path, output: Path, split: str | None, instants: int, fps: float, overwrite: bool) -> None:
    """Write a contact sheet and a video of every take in FOLDER: fully lit pictures, mattes, labels, flow."""
    from olatkit.jobs.show_shards import show_shards

    with progress_bar("drawing") as progress:
        paths = show_shards(
            folder, output, split=split, instants=instants, fps=fps, overwrite=overwrite, progress=progress
        )
    for path in paths:
        click.echo(path)


@command.command()
@click.argument("folders", type=_FOLDER, nargs=-1, required=True, metavar="FOLDERS...")
@click.option("-o", "--output", type=_FOLDER, required=True, help="Folder to write.")
@click.option("--link", is_flag=True, help="Hard links instead of copies.")
@click.option("--bank", type=click.Path(dir_okay=False, path_type=Path), help="Lighting bank of the result.")
@overwrite_option
def merge(folders: tuple[Path, ...], output: Path, link: bool, bank: Path | None, overwrite: bool) -> None:
    """Join finished FOLDERS of different takes into one set."""
    from olatkit.jobs.merge_shards import merge_shards

    with progress_bar("copying") as progress:
        index = merge_shards(folders, output, link=link, bank=bank, overwrite=overwrite, progress=progress)
    click.echo(f"{output}: {counted(len(index.takes), 'take')} in {counted(len(index.shards), 'shard')}")
