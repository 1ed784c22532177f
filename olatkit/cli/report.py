"""``olatkit report``: the report page of a take that is already there."""

from pathlib import Path

import click

from olatkit.cli.options import overwrite_option


@click.command(short_help="Write the report page of a take again.")
@click.argument("take", type=click.Path(path_type=Path))
@overwrite_option
def command(take: Path, overwrite: bool) -> None:
    """Write NAME.report.html beside TAKE, NAME.olat.h5.

    ``olatkit ingest`` writes it too, with two parts more that need the capture file: the brightness of the frames and
    a picture without motion compensation.
    """
    from olatkit.jobs.report import write_report

    click.echo(write_report(take, overwrite=overwrite))
