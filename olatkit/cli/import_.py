"""``olatkit import``: photographs under one light each to a take."""

from pathlib import Path

import click

from olatkit.cli.options import overwrite_option, progress_bar, say_kept, scheduler_option, workers_option
from olatkit.wording import counted

_PATH = click.Path(path_type=Path)


@click.command(name="import", short_help="Turn photographs under one light each into a take.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("-m", "--manifest", type=_PATH, help="What the pictures are, YAML: curve, levels, lights, axes, order.")
@click.option("-o", "--output", type=_PATH, help="Take to write, NAME.olat.h5.")
@click.option("--write-manifest", type=_PATH, metavar="FILE",
              help="Draft a manifest for FOLDER with every key explained, and stop.")
@click.option("--codes", type=click.Choice(["auto", "sqrt12", "float16", "float32"]), default="auto", show_default=True,
              help="How radiance is stored; auto: sqrt12 for integer pictures, float32 for EXR and HDR.")
@click.option("--compression", type=click.Choice(["bitshuffle", "gzip", "none"]), default="bitshuffle",
              show_default=True, help="gzip is readable by any HDF5 tool, and slow.")
@click.option("--report/--no-report", default=True, show_default=True, help="Write NAME.report.html beside the take.")
@scheduler_option
@workers_option
@overwrite_option
def command(
    folder: Path, manifest: Path | None, output: Path | None, write_manifest: Path | None, codes: str,
    compression: str, report: bool, scheduler: str, workers: int | None, overwrite: bool,
) -> None:
    """Turn the photographs in FOLDER, each under one light, into a take of one OLAT imageset.

    A manifest states what cannot be seen in the files: transfer curve, black and white level, where the lights stand,
    in which axes, and which picture belongs to which light. --write-manifest drafts it. Run the same command again
    after an interruption: it goes on where it stopped.
    """
    from olatkit.io.manifests import check_folder, draft_manifest, read_manifest
    from olatkit.io.outputs import whole_file
    from olatkit.jobs.import_photographs import import_photographs

    if write_manifest is not None:
        draft = draft_manifest(folder)
        with whole_file(write_manifest, overwrite=overwrite) as part:
            part.write_text(draft, encoding="utf-8")
        click.echo(f"{write_manifest}: fill in the empty keys, then give it to --manifest")
        return
    if manifest is None or output is None:
        raise click.UsageError("give --manifest FILE and --output FILE, or --write-manifest FILE to begin")
    check_folder(folder)  # before the manifest, which may not be there either
    with progress_bar("pictures", "joining") as (progress, joining):
        done = import_photographs(
            folder, read_manifest(manifest), output, encoding=codes, compression=compression, scheduler=scheduler,
            workers=workers, overwrite=overwrite, report=report, progress=progress, join_progress=joining,
        )
    say_kept(done.resumed, "picture")
    if done.saturated:
        click.echo(f"saturated on more than 1 % of the subject: {done.saturated} of "
                   f"{counted(done.lights, 'picture')}", err=True)
    if done.beyond:
        click.echo(f"beyond the stored range and limited: {counted(done.beyond, 'value')}; try --codes float32", err=True)
    dead = f", {done.dead} of them dead" if done.dead else ""
    click.echo(f"{done.take}: 1 imageset of {counted(done.lights, 'light')}{dead}")
