"""Shards as a torch data set of samples."""

import os
from pathlib import Path
from typing import Literal

import torch

from olatkit.errors import ConfigError, FormatError
from olatkit.io.shard_set import Pair, ShardSet
from olatkit.io.shard_writing import file_sha256
from olatkit.learn.augment import NO_AUGMENTATION, AugmentConfig
from olatkit.learn.lightings import maps_for, open_sampler
from olatkit.learn.order import ReadKey
from olatkit.learn.pair_reading import PairReader
from olatkit.learn.pair_samples import make_batch
from olatkit.learn.sample import Sample
from olatkit.render.sampling import LightingSampler, SamplingConfig


class ShardDataset(torch.utils.data.Dataset):
    """Pairs of neighbouring imagesets, relit under random lightings; ``dataset[i]`` is a :class:`Sample`.

    Parameters
    ----------
    folder : path
        What ``olatkit build-shards`` wrote.
    split : str, optional
        'train', 'test' or another split of the set; all takes if None.
    source : {'auto', 'olat', 'baked'}
        Relight single lights afresh, or read relit pictures that were stored; 'auto' takes the single lights.
    bank : path, optional
        Lighting bank; the one beside the shards if None.
    maps : {'train', 'test'}, optional
        Which maps of the bank; those held out for every split but 'train' if None.
    sampling : SamplingConfig, optional
        Distributions of the lightings.
    augment : AugmentConfig, optional
        Crops, flips, noise; none by default.
    size : int, optional
        Side of the pictures [px]; that of the shards if None.
    variants : int
        Samples made from one reading, each with lightings and noise of its own: reading and unpacking is most of the
        work, relighting is cheap.
    crops : int
        How many of a reading's variants have a crop of their own; the others share these.
    seed : int
        Decides everything random.

    Raises
    ------
    FormatError
        No shard set, a damaged one, no such split, or no lighting bank where one is needed.
    ConfigError
        No pairs, or no baked pictures where they are asked for.

    Notes
    -----
    Every pair (t, t + 1) of every take is there once; none crosses from one take to another. Files are read without
    HDF5 and without locks, so that the data set may be forked, pickled and shared between threads. For training use
    :class:`~olatkit.learn.loader.ShardLoader`, which reads ahead in other processes, relights on the training device
    and can resume anywhere.
    """

    def __init__(
        self, folder: str | os.PathLike[str], split: str | None = "train", *,
        source: Literal["auto", "olat", "baked"] = "auto", bank: str | os.PathLike[str] | None = None,
        maps: Literal["train", "test"] | None = None, sampling: SamplingConfig | None = None,
        augment: AugmentConfig | None = None, size: int | None = None, variants: int = 1, crops: int = 1, seed: int = 0,
    ) -> None:
        if variants < 1 or not 1 <= crops <= variants:
            raise ConfigError(f"variants is {variants} and crops {crops}, expected variants >= crops >= 1")
        self.shards = ShardSet(folder, split)
        if not len(self.shards):
            raise ConfigError(f"{folder}: split '{split}' has no pair; its takes hold one imageset each")
        if source == "baked" and not self.shards.index.baked:
            raise ConfigError(f"{folder}: no baked pictures; build with --bake, or read the single lights")
        self.source: Literal["olat", "baked"] = "baked" if source == "baked" else "olat"
        self.size = size or self.shards.index.size
        self.seed, self.variants, self.crops = seed, variants, crops
        self.augment = augment or NO_AUGMENTATION
        self.sampler = None
        if self.source == "olat":
            self.sampler = _open_sampler(self.shards, bank, maps or maps_for(split), sampling)

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> Sample:
        """The first variant of a pair in epoch 0, on the CPU."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} is outside 0 to {len(self) - 1}")
        read = self.reader(relight=True).read(ReadKey(self.seed, 0, index % len(self), (0,)))
        return make_batch([(read, (0,))], self.size)[0]

    def pair(self, index: int) -> Pair:
        """Take, subject and imageset of a pair."""
        return self.shards.pairs[index]

    def subjects(self) -> list[str]:
        """Subject of every pair."""
        return [pair.subject for pair in self.shards.pairs]

    def reader(self, *, relight: bool) -> PairReader:
        """What reads pairs; with ``relight`` the lights are summed where they are read."""
        return PairReader(
            self.shards, self.source, self.sampler, self.augment, self.variants, self.crops, relight
        )

    def __repr__(self) -> str:
        return f"ShardDataset({self.shards!r}, {self.source}, {self.size} px, {self.variants} samples per reading)"


def _open_sampler(
    shards: ShardSet, bank: str | os.PathLike[str] | None, maps: str, sampling: SamplingConfig | None
) -> LightingSampler:
    """The lightings that training draws from."""
    path = bank or shards.bank
    if path is None:
        raise FormatError(
            f"{shards.folder}: no lighting bank beside the shards; give one with --bank (bank=...), or build the shards "
            "with --bank"
        )
    if bank is None and not (Path(path).is_file() and file_sha256(path) == shards.index.bank_sha256):
        problem = "SHA-256 differs from the index, the bank is damaged or another one" if Path(path).is_file() else "missing"
        raise FormatError(
            f"{path}: {problem}; copy the bank of the build there, or give one with --bank (bank=...)"
        )
    return open_sampler(path, maps, sampling)
