"""``olatkit build-shards``: takes to shards."""

from pathlib import Path

import click

from olatkit.cli.options import overwrite_option, progress_bar, scheduler_option, workers_option
from olatkit.wording import counted

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(name="build-shards")
@click.argument("takes", type=_FILE, nargs=-1, required=True, metavar="TAKES...")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write.")
@click.option("--bank", type=_FILE, help="Lighting bank that training draws from; copied beside the shards.")
@click.option("--size", type=click.IntRange(min=16), help="Side of the pictures [px].  [default: 512]")
@click.option("--bake", type=click.IntRange(min=0), metavar="K", help="Also store K relit triplets per pair.")
@click.option("--shard-imagesets", type=click.IntRange(min=1), help="Imagesets per shard.  [default: 16]")
@click.option(
    "--split", "splits", multiple=True, metavar="NAME=WHO",
    help="Subjects of a split, NAME=anna,ben, or a share of them, NAME=0.1; the others are 'train'.  [default: test=0.1]",
)
@click.option("--subjects", type=_FILE, help="JSON: subject of every take by its name.  [default: each its own]")
@click.option("--truth", "truths", type=_FILE, multiple=True,
              help="Truth of each simulated take: NAME.truth.h5 of NAME.olat.h5; other names in the order of the takes.")
@click.option("--config", type=_FILE, help="Settings, YAML.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One setting, e.g. labels.parsing=onnx.")
@click.option("--cluster", type=click.Choice(["slurm"]), help="Start --workers workers through this queue.")
@click.option(
    "--cluster-opt", "cluster_options", multiple=True, metavar="KEY=VALUE",
    help="Of dask_jobqueue.SLURMCluster, e.g. memory=16GB, queue=short, walltime=02:00:00.",
)
@scheduler_option
@workers_option
@overwrite_option
def command(
    takes: tuple[Path, ...], output: Path, bank: Path | None, size: int | None, bake: int | None,
    shard_imagesets: int | None, splits: tuple[str, ...], subjects: Path | None, truths: tuple[Path, ...],
    config: Path | None, settings: tuple[str, ...], cluster: str | None, cluster_options: tuple[str, ...],
    scheduler: str, workers: int | None, overwrite: bool,
) -> None:
    """Turn TAKES into a folder of shards: OLAT images, labels, mattes and flow, ready for training.

    Every shard is a task of its own and writes its own file; index.json comes last. Run the same command again after
    an interruption: finished shards are kept.
    """
    from contextlib import nullcontext

    from olatkit.cli.settings import read_config
    from olatkit.io.documents import read_json
    from olatkit.jobs.build_shards import build_shards
    from olatkit.jobs.clusters import dashboard_link, open_cluster
    from olatkit.jobs.shard_plan import ShardConfig

    flags = {"size": size, "bake": bake, "shard_imagesets": shard_imagesets}
    chosen = [*settings, *(f"{name}={value}" for name, value in flags.items() if value is not None)]
    if splits:
        chosen.append(f"splits={_parse_splits(splits)}")
    model = read_config(ShardConfig, config, tuple(chosen))
    if cluster_options and not cluster:
        raise click.UsageError("--cluster-opt needs --cluster")
    queue = open_cluster(cluster, workers or 1, _parse_options(cluster_options)) if cluster else nullcontext(scheduler)
    with queue as where:
        link = dashboard_link(where)
        if link:
            click.echo(f"dashboard: {link}", err=True)
        with progress_bar("measuring takes") as bright, progress_bar("making shards", unit="imagesets") as progress:
            said = read_json(subjects, "the subject of every take by its name, in JSON") if subjects else None
            done = build_shards(
                takes, output, model, bank=bank, subjects=said, truths=truths,
                scheduler=where, workers=workers, overwrite=overwrite, progress=progress, bright_progress=bright,
                say=lambda line: click.echo(line, err=True),
            )
    click.echo(
        f"{done.folder}: {counted(done.imagesets, 'imageset')} in {counted(done.shards, 'shard')}, "
        f"{done.bytes / 1e6:.1f} MB, labels by "
        f"{', '.join(done.labels)}"
    )


def _parse_splits(texts: tuple[str, ...]) -> str:
    """'val=anna,ben' and 'test=0.1' as YAML."""
    import json

    out: dict[str, float | list[str]] = {}
    for text in texts:
        name, equals, who = text.partition("=")
        if not equals or not name or not who:
            raise click.BadParameter(f"{text!r}, expected NAME=SUBJECT,SUBJECT or NAME=SHARE", param_hint="--split")
        try:
            out[name] = float(who)
        except ValueError:
            out[name] = who.split(",")
    return json.dumps(out)


def _parse_options(texts: tuple[str, ...]) -> dict[str, object]:
    """'cores=4' and the like; numbers where they are numbers."""
    out: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r}, expected KEY=VALUE", param_hint="--cluster-opt")
        out[name] = int(value) if value.isdigit() else value
    return out
