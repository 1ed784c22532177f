"""``olatkit bank``: many environment maps in one file, for training and rendering."""

from pathlib import Path

import click

from olatkit.cli.options import overwrite_option, progress_bar, say_kept, scheduler_option, workers_option
from olatkit.cli.orientation import orientation_options
from olatkit.wording import counted

_BANK = click.argument("bank", type=click.Path(path_type=Path))


@click.group(short_help="Make, explain and show a bank of environment maps.")
def command() -> None:
    """A bank holds many environment maps in the 16x16 form that networks take, each scaled to a mean luminance of 1, with
    names, hashes, and a split into maps for training and for tests."""


@command.command("build")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--output", "out", type=click.Path(path_type=Path), required=True, help="Bank to write, bank.h5.")
@click.option("--test-share", type=click.FloatRange(0, 1, max_open=True), default=1 / 3, show_default="one third",
              help="Share of the maps held out for tests, by whole scenes.")
@click.option("--test-scene", "test_scenes", multiple=True, metavar="NAME",
              help="Hold out this scene in any case: city for city.hdr and City_4k.exr. May be given several times.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other scenes.")
@click.option("--skip-bad", is_flag=True, help="Leave out files that cannot be used, instead of stopping.")
@orientation_options
@workers_option
@scheduler_option
@overwrite_option
def build(
    folder: Path, out: Path, workers: int | None, scheduler: str, overwrite: bool, **settings: object
) -> None:
    """Reduce every .hdr and .exr file in FOLDER and its subfolders to 16x16 and 64x128 and write them to a bank.

    Pictures of 8 bits are not collected: they hold no suns. A run that was stopped goes on where it was. What is odd
    about a map, such as a clipped sun, is counted here and told by `olatkit bank info`.
    """
    from time import monotonic

    from olatkit.io.describe_bank import count_notes
    from olatkit.jobs.build_bank import BankConfig, build_bank
    from olatkit.jobs.schedulers import default_workers

    config = BankConfig.model_validate(settings)
    start = monotonic()
    with progress_bar("maps") as progress:
        done = build_bank(folder, out, config, scheduler=scheduler, workers=workers, overwrite=overwrite,
                          progress=progress, resumed=lambda count: say_kept(count, "map"))
    minutes = (monotonic() - start) / 60
    for line in done.bad:
        click.echo(f"left out: {line}", err=True)
    for name, kept in done.duplicates:
        click.echo(f"left out: {name} has the same content as {kept}", err=True)
    made = len(done.bank) + len(done.duplicates) - done.resumed
    odd = count_notes(done.bank.notes)
    clipped = f"; {odd['flat']} with a clipped sun or a small, evenly bright lamp" if odd["flat"] else ""
    held = int(done.bank.test.sum())
    click.echo(f"{counted(len(done.bank), 'map')} of {counted(len(set(done.bank.scenes)), 'scene')}: "
               f"{len(done.bank) - held} for training, "
               f"{held} for tests{clipped}", err=True)
    if made > 0:
        cores = "" if scheduler not in ("sync", "threads", "processes") else (
            f", {made / minutes / (1 if scheduler == 'sync' else workers or default_workers()):.0f} per worker")
        click.echo(f"{made / minutes:.0f} maps per minute{cores}", err=True)
    click.echo(out)


@command.command("info")
@_BANK
@click.option("--json", "as_json", is_flag=True, help="For machines, with every map.")
def info(bank: Path, as_json: bool) -> None:
    """Say what a bank holds, and what is odd about its maps."""
    from olatkit.cli.info import as_json_list, as_text
    from olatkit.io.describe_bank import describe_bank

    description = describe_bank(bank)
    click.echo(as_json_list([(bank, description)]) if as_json else as_text(bank, description))


@command.command("show")
@_BANK
@click.option("-o", "--output", "out", type=click.Path(path_type=Path), required=True, help="Picture, sheet.png.")
@click.option("--split", type=click.Choice(["train", "test"]), help="Only the maps for training, or for tests.")
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="First map shown.")
@click.option("--count", type=click.IntRange(min=1, max=400), default=48, show_default=True, help="Maps on the sheet.")
@click.option("--columns", type=click.IntRange(min=1), default=4, show_default=True, help="Maps in a row.")
@overwrite_option
def show(
    bank: Path, out: Path, split: str | None, first: int, count: int, columns: int, overwrite: bool
) -> None:
    """Make a contact sheet: every map beside its 16x16 form, at one exposure. Held-out maps are marked."""
    from olatkit.errors import ConfigError
    from olatkit.io.banks import read_bank
    from olatkit.io.images import write_png
    from olatkit.render.bank import bank_sheet

    stored = read_bank(bank)
    if split:
        try:
            stored = stored.part(split)
        except ValueError as error:
            raise ConfigError(f"{bank}: {error}") from error
    if first >= len(stored):
        raise ConfigError(f"{bank}: --first is {first}, the maps are numbered 0 to {len(stored) - 1}")
    last = min(first + count, len(stored))
    write_png(out, bank_sheet(stored.take(range(first, last)), columns), overwrite=overwrite)
    click.echo(f"maps {first} to {last - 1} of {len(stored)}", err=True)
    click.echo(out)
