"""Shards to the training loop: batches for each stage, held-out batches, and what a shard set must be for that."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from olatkit.errors import ConfigError
from olatkit.io.shard_index import read_index
from olatkit.io.shard_set import ShardSet
from olatkit.io.shard_writing import file_sha256
from olatkit.learn.augment import NO_AUGMENTATION
from olatkit.learn.config import TrainConfig
from olatkit.learn.dataset import ShardDataset
from olatkit.learn.distributed import Ranks
from olatkit.learn.loader import ShardLoader
from olatkit.learn.reporting import OpenValidation
from olatkit.learn.sample import Sample
from olatkit.learn.schedule import Stage
from olatkit.learn.train import OpenBatches

TRAIN, TEST = "train", "test"


def open_shards(
    folder: str | os.PathLike[str], config: TrainConfig, ranks: Ranks, *, bank: str | os.PathLike[str] | None = None
) -> tuple[OpenBatches, OpenValidation | None]:
    """How a training gets its batches from a folder of shards.

    Parameters
    ----------
    folder : path
        What ``olatkit build-shards`` wrote.
    config : TrainConfig
        Stages, sampling, augmentation, loader.
    ranks : Ranks
        This process among all.
    bank : path, optional
        Lighting bank; the one beside the shards if None.

    Returns
    -------
    OpenBatches, OpenValidation or None
        For :func:`~olatkit.learn.train.train`. The second is None if the set has no 'test' split, or validation is off.

    Raises
    ------
    FormatError, ConfigError
        The set is missing or damaged, its pictures are smaller than a stage's, it has no pair to train on, or there is
        no lighting bank.
    """
    folder = Path(folder)
    shards = ShardSet(folder, TRAIN)
    largest = shards.index.size // 64 * 64
    for number, stage in enumerate(config.stages):
        if stage.size > shards.index.size:
            shorter = f", or end the stages at {largest}" if largest else ""
            raise ConfigError(
                f"{folder}: pictures of {shards.index.size} px, but stages[{number}].size is {stage.size}; "
                f"build shards with --size {stage.size}{shorter} (--config with a preset of pipelines/train_presets, --set)"
            )
    # Tell now what would be told at the first batch, or hours later.
    _dataset(folder, TRAIN, config, config.stages[0].size, bank)
    validates = config.report.validation_pairs > 0 and TEST in shards.index.splits
    for split in (TRAIN, TEST) if validates else (TRAIN,):
        opened = ShardSet(folder, split)
        opened.open_all()
        opened.close()

    def open_batches(stage: Stage, pairs: int) -> Iterator[Sample]:
        loader = ShardLoader(
            _dataset(folder, TRAIN, config, stage.size, bank), stage.batch, workers=config.loader.workers,
            device=ranks.device, rank=ranks.rank, world=ranks.count, start=pairs,
            balance_subjects=config.loader.balance_subjects,
        )
        return iter(loader)

    def open_validation(stage: Stage) -> Sequence[Sample]:
        dataset = _dataset(folder, TEST, config, stage.size, bank)
        batches = []
        for batch in ShardLoader(dataset, stage.batch):
            batches.append(batch)
            if len(batches) * stage.batch >= config.report.validation_pairs:
                return batches
        return batches

    return open_batches, open_validation if validates else None


def data_sha256(
    folder: str | os.PathLike[str], config: TrainConfig, *, bank: str | os.PathLike[str] | None = None
) -> dict[str, str]:
    """What :func:`open_shards` reads, by hash: ``index.json``, which holds the hash of every shard, and the ``bank``."""
    index = read_index(folder)
    bank_sha256 = index.bank_sha256 if bank is None else file_sha256(Path(bank))
    return {"index.json": index.sha256} | ({"bank": bank_sha256} if config.loader.source == "olat" else {})


def _dataset(
    folder: Path, split: str, config: TrainConfig, size: int, bank: str | os.PathLike[str] | None
) -> ShardDataset:
    """The pairs of a split; held-out pairs are shown as they are."""
    loader = config.loader
    training = split == TRAIN
    return ShardDataset(
        folder, split, source=loader.source, bank=bank, sampling=config.sampling, size=size, seed=config.seed,
        augment=config.augment if training else NO_AUGMENTATION, variants=loader.variants if training else 1,
        crops=loader.crops if training else 1,
    )
