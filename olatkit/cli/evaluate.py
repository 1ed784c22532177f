"""``olatkit evaluate``: how good a trained network is on subjects and light it has never seen."""

from pathlib import Path

import click

from olatkit.cli.options import overwrite_option, progress_bar

_COUNT = click.IntRange(min=1)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("shards", type=click.Path(file_okay=False, path_type=Path))
@click.option("-o", "--output", "out", type=click.Path(file_okay=False, path_type=Path), required=True,
              help="Folder for scores.csv, table.md and pictures.png.")
@click.option("--split", default="test", show_default=True, help="Subjects that are looked at.")
@click.option("--bank", type=click.Path(dir_okay=False, path_type=Path), help="[default: the one beside the shards]")
@click.option("--size", type=click.IntRange(min=64), help="Side of the pictures [px].  [default: the run's last stage]")
@click.option("--pairs", default=4, show_default=True, type=_COUNT, help="Light pairs per imageset.")
@click.option("--rows", default=8, show_default=True, type=_COUNT, help="Light pairs on the sheet of pictures.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of the light pairs.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@overwrite_option
def command(
    run: Path, shards: Path, out: Path, split: str, bank: Path | None, size: int | None, pairs: int, rows: int,
    seed: int, device: str, overwrite: bool,
) -> None:
    """Measure RUN (a training's folder, or a checkpoint) on SHARDS, beside the unchanged input and the mean picture.

    Every imageset of the split is relit under held-out maps of the bank: a source and a target, any map under any
    turn, fixed by --seed and the names of takes alone, the same for all methods. The mean picture is that of the
    targets of the split 'train', under the maps for training.
    """
    from olatkit.evaluate.protocol import Protocol, evaluate_run

    protocol = Protocol(split, bank, size, pairs, seed, rows)
    with progress_bar("mean picture", "relighting") as (mean_progress, progress):
        done = evaluate_run(
            run, shards, out, protocol, device=device, overwrite=overwrite, mean_progress=mean_progress,
            progress=progress,
        )
    click.echo(done.table)
    click.echo(out)
