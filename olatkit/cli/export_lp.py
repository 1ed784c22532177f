"""``olatkit export-lp``: a take for tools of reflectance transformation imaging."""

from pathlib import Path

import click

from olatkit.cli.options import overwrite_option, progress_bar
from olatkit.wording import counted


@click.command(name="export-lp", short_help="Write a take's lights and pictures for RTI tools.")
@click.argument("source", type=click.Path(path_type=Path), metavar="TAKE|RIG")
@click.option("-o", "--output", "out", type=click.Path(path_type=Path), required=True, help="List to write, NAME.lp.")
@click.option("--pictures/--no-pictures", default=True, show_default=True, help="Write NAME_LLLL.png beside the list.")
@click.option("--imageset", type=click.IntRange(min=0), default=0, show_default=True, help="Instant of the take.")
@click.option("--bits", type=click.Choice(["8", "16"]), default="8", show_default=True, help="Of the pictures, sRGB.")
@click.option("--exposure", "exposure_stops", type=click.FloatRange(-64, 64), default=0.0, show_default=True,
              metavar="STOPS", help="Pictures brighter or darker by factors of two.")
@overwrite_option
def command(
    source: Path, out: Path, pictures: bool, imageset: int, bits: str, exposure_stops: float, overwrite: bool
) -> None:
    """Write the lights of TAKE as an RTI light-position list (.lp), and its picture under each of them.

    A RIG gives the list alone. `olatkit import` reads the result back.
    """
    from olatkit.jobs.export_lp import export_lp

    with progress_bar("pictures") as progress:
        done = export_lp(
            source, out, pictures=pictures, imageset=imageset, bits=int(bits), exposure_stops=exposure_stops,
            overwrite=overwrite, progress=progress,
        )
    if done.clipped:
        click.echo(f"above full scale and cut: {counted(done.clipped, 'value')}; try --exposure -1", err=True)
    click.echo(f"{out}: {counted(done.lights, 'light')}, {counted(done.pictures, 'picture')}")
