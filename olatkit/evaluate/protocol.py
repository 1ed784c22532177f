"""One evaluation from files to files: a run, shards and a bank give a table, all scores and a sheet of pictures."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from olatkit.errors import ConfigError, FormatError
from olatkit.evaluate.pictures import Pictures, relit_pictures
from olatkit.evaluate.relighting import Summary, mean_picture, score_pictures, summarise
from olatkit.evaluate.report import PictureSheet, format_table, refuse_report, write_report
from olatkit.io.shard_index import read_index
from olatkit.io.shard_set import ShardSet
from olatkit.learn.checkpoint import load_network, read_checkpoint
from olatkit.learn.lightings import maps_for, open_sampler

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Protocol:
    """What is measured on.

    ``split`` of the shards; lighting ``bank``, None for the one beside them; ``size`` of the pictures [px], None for
    that of the run's last stage; ``pairs`` of lightings per imageset, drawn from ``seed``; ``rows`` of the sheet.
    """

    split: str = "test"
    bank: Path | None = None
    size: int | None = None
    pairs: int = 4
    seed: int = 0
    rows: int = 8


@dataclass(frozen=True)
class Evaluation:
    """What came out: the table as text, and its rows."""

    table: str
    summaries: tuple[Summary, ...]


def evaluate_run(
    run: Path, shards: Path, out: Path, protocol: Protocol | None = None, *, device: str = "cpu",
    overwrite: bool = False, mean_progress: Progress | None = None, progress: Progress | None = None,
) -> Evaluation:
    """Measure a run on a split that it has not been trained on; writes ``scores.csv``, ``table.md``, ``pictures.png``.

    Parameters
    ----------
    run : Path
        Folder of a training, or one of its checkpoints; its averaged weights are used.
    shards : Path
        Folder of shards with the split, and 'train' for the mean picture.
    out : Path
        Folder of the report.
    protocol : Protocol, optional
        What is measured on.
    device : str
        Where the network runs.
    overwrite : bool
        Replace an earlier report.
    mean_progress, progress : callable (done, total), optional
        Told of imagesets, of the mean picture and of the evaluation.

    Raises
    ------
    OutputExistsError
        A report is there and ``overwrite`` is False.
    FormatError, ConfigError
        Run, shards or bank are missing or do not fit together.
    """
    protocol = protocol or Protocol()
    refuse_report(out, overwrite=overwrite)
    checkpoint = read_checkpoint(run)
    network = load_network(checkpoint["path"], device=device)
    _check_split(run, shards, out, protocol)
    tested, trained = ShardSet(shards, protocol.split), ShardSet(shards, "train")
    size = protocol.size or checkpoint["config"]["stages"][-1]["size"]
    if size % 64 or size > tested.index.size:
        raise ConfigError(f"size is {size}, expected a multiple of 64, at most the shards' {tested.index.size}")
    bank = protocol.bank or tested.bank
    if bank is None:
        raise FormatError(f"{shards}: no lighting bank beside the shards; give --bank")
    pictures = _pictures(tested, bank, protocol.split, size, protocol, progress)
    mean = mean_picture(_pictures(trained, bank, "train", size, protocol, mean_progress))
    sheet = PictureSheet(protocol.rows, sum(take.imagesets for take in tested.takes) * protocol.pairs)
    scores = list(score_pictures(network, pictures, mean, sheet.look))
    summaries = summarise(scores)
    facts = {
        "checkpoint": Path(checkpoint["path"]).name, "variant": checkpoint["variant"], "step": checkpoint["step"],
        "split": protocol.split, "subjects": len({take.subject for take in tested.takes}), "maps": maps_for(protocol.split),
        "size": size, "pairs per imageset": protocol.pairs, "seed": protocol.seed,
    }
    table = format_table(summaries, facts)
    write_report(out, scores, table, sheet.draw(), overwrite=overwrite)
    return Evaluation(table, summaries)


def _check_split(run: Path, shards: Path, out: Path, protocol: Protocol) -> None:
    """A split that the shards lack is told with the command that would do."""
    splits = read_index(shards).splits
    if protocol.split in splits:
        return
    other = next((split for split in splits if split != "train"), "train")
    known = ", the subjects that the network was trained on" if other == "train" else ""
    bank = ["--bank", protocol.bank] if protocol.bank else []
    words = ["olatkit", "evaluate", run, shards, "-o", out, *bank, "--split", other]
    raise ConfigError(
        f"{shards}: no take in split '{protocol.split}', it has {', '.join(splits)}; build-shards --split says who is "
        f"where; to measure on '{other}'{known}: {shlex.join(map(str, words))}"
    )


def _pictures(
    shards: ShardSet, bank: Path, split: str, size: int, protocol: Protocol, progress: Progress | None
) -> Iterable[Pictures]:
    """Pictures of a split under the maps that belong to it, with news."""
    sampler = open_sampler(bank, maps_for(split))
    total = sum(take.imagesets for take in shards.takes)

    def tell() -> Iterator[Pictures]:
        for done, some in enumerate(
            relit_pictures(shards, sampler, size=size, count=protocol.pairs, seed=protocol.seed), start=1
        ):
            if progress is not None:
                progress(done, total)
            yield some

    return tell()
