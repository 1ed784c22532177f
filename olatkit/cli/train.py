"""``olatkit train``: shards to a relighting network."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olatkit.cli.options import overwrite_option, progress_bar
from olatkit.wording import counted

if TYPE_CHECKING:
    from olatkit.learn.config import TrainConfig

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("shards", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option("--config", type=_FILE,
              help="Settings, YAML; see pipelines/train_presets.  [default with --resume: those of the run]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One setting, e.g. losses.temporal=false.")
@click.option("--bank", type=_FILE, help="Lighting bank.  [default: the one beside the shards]")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint of the run.")
@click.option("--accept-changes", is_flag=True, help="With --resume: with other settings or shards too.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N", help="Where to train.")
@click.option("--seed", type=click.IntRange(min=0), help="Of weights, samples and lightings.  [default: 0]")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that read samples.  [default: 2]")
@click.option("--describe", is_flag=True, help="Print the layers of network and critic, and do nothing else.")
@overwrite_option
def command(
    shards: Path | None, output: Path | None, config: Path | None, settings: tuple[str, ...], bank: Path | None,
    resume: bool, accept_changes: bool, device: str, seed: int | None, workers: int | None, describe: bool,
    overwrite: bool,
) -> None:
    """Train the relighting network on the folder SHARDS.

    The run's folder gets checkpoints (step-N.pt, the newest ones), metrics.csv, pictures, TensorBoard events and the
    settings. A run that was stopped goes on with --resume, on a CPU with the same bits as if it had never stopped.

    Several GPUs: torchrun --nproc-per-node 4 -m olatkit train SHARDS ... ; batches in the settings are per process.
    """
    from olatkit.cli.settings import read_config
    from olatkit.learn.config import TrainConfig

    flags = {"seed": seed, "loader.workers": workers}
    chosen = (*settings, *(f"{name}={value}" for name, value in flags.items() if value is not None))
    if resume and config is None and output is not None and (output / "train.yaml").exists():
        config = output / "train.yaml"  # what the run was begun with
    model = read_config(TrainConfig, config, chosen)
    if describe:
        _print_layers(model)
        return
    if shards is None or output is None:
        raise click.UsageError("give a folder of SHARDS and -o RUN, or --describe")
    if resume and overwrite:
        raise click.UsageError("--resume goes on, --overwrite starts anew: give one of them")
    if accept_changes and not resume:
        raise click.UsageError("--accept-changes is for --resume")
    _train(
        model, shards, output, bank=bank, resume=resume, accept_changes=accept_changes, device=device,
        overwrite=overwrite,
    )


def _train(
    config: "TrainConfig", shards: Path, output: Path, *, bank: Path | None, resume: bool, accept_changes: bool,
    device: str, overwrite: bool,
) -> None:
    """Join the processes, train, print the last checkpoint."""
    from olatkit.cli.main import STOPPED
    from olatkit.learn.checkpoint import find_checkpoints
    from olatkit.learn.distributed import join_ranks
    from olatkit.learn.feeding import data_sha256, open_shards
    from olatkit.learn.train import train

    with join_ranks(device) as ranks:
        open_batches, open_validation = open_shards(shards, config, ranks, bank=bank)
        if ranks.first:
            found = find_checkpoints(output) if resume else []
            begin = f", going on from {found[-1].stem}" if found else ", from the start: no checkpoint yet"
            steps = counted(config.steps, "step")
            click.echo(f"{config.variant}, {steps} on {ranks.count} x {ranks.device}{begin if resume else ''}", err=True)
            if open_validation is None:
                off = "the shards have no split 'test'" if config.report.validation_pairs else "report.validation_pairs is 0"
                click.echo(f"no validation: {off}", err=True)
        try:
            with progress_bar("training") as tell:
                path = train(
                    config, open_batches, output, ranks, open_validation=open_validation,
                    data=data_sha256(shards, config, bank=bank), resume=resume, accept_changes=accept_changes,
                    overwrite=overwrite,
                    progress=(lambda step, steps, news: tell(step, steps, _news(news))) if ranks.first else None,
                )
        except KeyboardInterrupt:
            found = find_checkpoints(output)
            click.get_current_context().meta[STOPPED] = (
                f"run it with --resume to go on from {found[-1].stem}" if found else
                "there is no checkpoint yet, so it begins anew"
            )
            raise
        if ranks.first:
            click.echo(str(path))


def _news(values: Mapping[str, float]) -> str:
    """The newest measurements in a few words."""
    formats = {
        "pairs_per_s": "{:.3g} pairs/s", "total": "loss {:.3f}", "psnr": "{:.1f} dB", "val_psnr": "unseen {:.1f} dB",
    }
    words = [text.format(values[name]) for name, text in formats.items() if name in values]
    return ", ".join(words)


def _print_layers(config: "TrainConfig") -> None:
    """Tables of layers at the last stage's size, with sums."""
    from olatkit.learn.describe import describe_critic, describe_network, without_storage
    from olatkit.learn.state import make_critic, make_network

    size = config.stages[-1].size
    click.echo(f"{config.variant}, pictures of {size} px")
    with without_storage():
        network, critic = make_network(config), make_critic(config)
    tables = {"network": describe_network(network, size)}
    if critic is not None:
        tables["critic"] = describe_critic(critic, size)
    for name, layers in tables.items():
        click.echo(f"\n{'layer':<8} {'operation':<36} {'in':>5} {'out':>5} {'px':>5} {'parameters':>11} {'MMAC':>9}")
        for row in layers:
            click.echo(
                f"{row.name:<8} {row.kind:<36} {row.inputs:>5} {row.outputs:>5} {row.size:>5} {row.parameters:>11,} "
                f"{row.macs / 1e6:>9,.1f}"
            )
        parts = [part for part in dict.fromkeys(row.part for row in layers) if part != name]
        for part in [*parts, name]:
            rows = [row for row in layers if part in (row.part, name)]
            parameters, macs = sum(row.parameters for row in rows), sum(row.macs for row in rows)
            click.echo(f"{part}: {parameters / 1e6:.2f} M parameters, {macs / 1e9:.2f} GMAC per picture")
