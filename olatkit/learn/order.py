"""The order of training: which pair comes when, from seed, epoch and rank alone, however many processes read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ReadKey:
    """One reading of a pair: ``seed`` and ``epoch`` decide its random numbers, ``variants`` which samples are wanted."""

    seed: int
    epoch: int
    pair: int
    variants: tuple[int, ...]


@dataclass(frozen=True)
class Order:
    """An endless row of readings.

    Parameters
    ----------
    pairs : int
        Pairs of the data set.
    seed : int
        Decides everything random.
    shuffle : bool
        Each epoch a new permutation; False: in order of the data set.
    rank, world : int
        This process takes every ``world``-th reading, from ``rank``: the processes of a training share every epoch
        without doubles and without rest.
    subjects : sequence of int, optional
        Subject of every pair. Given, pairs are drawn with repetition, first a subject and then one of its pairs, so
        that subjects with long takes do not dominate; an epoch then has the same length but need not hold every pair.
    """

    pairs: int
    seed: int = 0
    shuffle: bool = True
    rank: int = 0
    world: int = 1
    subjects: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ValueError("there is no pair to read")
        if not 0 <= self.rank < self.world:
            raise ValueError(f"rank is {self.rank}, expected 0 to {self.world - 1}")

    def epoch_of(self, reading: int) -> int:
        """Epoch of the ``reading``-th reading of this rank."""
        return (reading * self.world + self.rank) // self.pairs

    def readings(self, epochs: int) -> int:
        """Readings of this rank in the first ``epochs`` epochs."""
        return len(range(self.rank, self.pairs * epochs, self.world))

    def keys(self, start: int, stop: int | None, variants: int) -> Iterator[ReadKey]:
        """Readings for the samples ``start`` to ``stop`` - 1 of this rank (endless if None), ``variants`` a reading."""
        at, epoch, pairs = start, -1, np.zeros(0, int)
        while stop is None or at < stop:
            reading, first = divmod(at, variants)
            number = reading * self.world + self.rank
            if number // self.pairs != epoch:
                epoch = number // self.pairs
                pairs = self._epoch(epoch)
            last = variants if stop is None else min(variants, first + stop - at)
            yield ReadKey(self.seed, epoch, int(pairs[number % self.pairs]), tuple(range(first, last)))
            at += last - first

    def _epoch(self, epoch: int) -> np.ndarray:
        """Pairs of an epoch in their order."""
        rng = np.random.default_rng([self.seed, epoch, 0])
        if self.subjects is not None:
            of = np.asarray(self.subjects)
            members = [np.flatnonzero(of == subject) for subject in np.unique(of)]
            chosen = rng.integers(len(members), size=self.pairs)
            return np.array([members[subject][rng.integers(len(members[subject]))] for subject in chosen])
        return rng.permutation(self.pairs) if self.shuffle else np.arange(self.pairs)
