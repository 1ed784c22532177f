"""Samples for training: read ahead by other processes, relit on the training device, resumable at any sample."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import Any, Literal

import numpy as np
import torch

from olatkit.errors import ConfigError, OlatkitError
from olatkit.learn.dataset import ShardDataset
from olatkit.learn.order import Order, ReadKey
from olatkit.learn.pair_reading import PairRead, PairReader
from olatkit.learn.pair_samples import make_batch
from olatkit.learn.sample import Sample
from olatkit.learn.shared_arrays import begin_receiving, end_receiving, fill_in_turn


class ShardLoader:
    """Batches of samples in an order that depends on seed, rank and number of ranks alone.

    Parameters
    ----------
    dataset : ShardDataset
        Where samples come from; its seed, variants and size are used.
    batch : int
        Samples of a batch. A reading gives ``dataset.variants`` samples in a row.
    workers : int
        Processes that read and unpack; with 0 the caller does it.
    device : str or torch.device
        Where samples are wanted. On a CPU lights are summed where they are read; for another device the codes are
        handed over and one batched product there relights all variants of a reading.
    rank, world : int
        This process among those that train together; an epoch is shared without doubles and without rest.
    start : int
        Samples that this rank has had before, to resume exactly there.
    epochs : int, optional
        Stop after so many; endless if None.
    shuffle : bool
        False: pairs in order of the set.
    balance_subjects : bool
        Draw subjects evenly, and then one of their pairs; see :class:`~olatkit.learn.order.Order`.
    ahead : int
        Readings that each worker keeps ready; memory is ``workers * ahead`` readings.
    start_method : {'fork', 'spawn', 'forkserver'}, optional
        How workers are started; the platform's default if None.

    Notes
    -----
    One reading takes ``2 * L * S**2 * 6`` bytes of codes at most (90 MB at L = 114, S = 256), or
    ``48 * variants * S**2`` bytes of relit pictures on a CPU.
    """

    def __init__(
        self, dataset: ShardDataset, batch: int, *, workers: int = 0, device: str | torch.device = "cpu",
        rank: int = 0, world: int = 1, start: int = 0, epochs: int | None = None, shuffle: bool = True,
        balance_subjects: bool = False, ahead: int = 2,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
    ) -> None:
        if batch < 1 or workers < 0 or start < 0 or ahead < 1:
            raise ConfigError(f"batch {batch}, workers {workers}, start {start}, ahead {ahead}: one of them is too small")
        self.dataset, self.batch, self.workers, self.ahead = dataset, batch, workers, ahead
        self.device, self.start_method, self.epochs = torch.device(device), start_method, epochs
        subjects = np.unique(dataset.subjects(), return_inverse=True)[1].tolist() if balance_subjects else None
        self.order = Order(len(dataset), dataset.seed, shuffle, rank, world, subjects)
        self.position = start

    def __iter__(self) -> Iterator[Sample]:
        """Batches from :attr:`position` on, which moves with every batch that is given out."""
        variants = self.dataset.variants
        stop = None if self.epochs is None else self.order.readings(self.epochs) * variants
        waiting: list[tuple[PairRead, tuple[int, ...]]] = []
        count = 0
        for read in self._reads(stop):
            wanted = read.key.variants
            while wanted:
                taken, wanted = wanted[: self.batch - count], wanted[self.batch - count :]
                waiting.append((read, taken))
                count += len(taken)
                if count == self.batch:
                    yield self._give(waiting, count)
                    waiting, count = [], 0
        if waiting:
            yield self._give(waiting, count)

    @property
    def epoch(self) -> int:
        """Epoch of the next sample."""
        return self.order.epoch_of(self.position // self.dataset.variants)

    def state_dict(self) -> dict[str, int]:
        """What :meth:`load_state_dict` needs to go on after the last batch that was given out."""
        return {"position": self.position, **self._identity()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where another loader of the same samples stood.

        Raises
        ------
        ConfigError
            Seed, number of ranks, pairs or variants differ, so that the position means another sample.
        """
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise ConfigError(f"loader: {name} is {value}, the saved position belongs to {state.get(name)}")
        self.position = int(state["position"])

    def _identity(self) -> dict[str, int]:
        return {
            "seed": self.order.seed, "world": self.order.world, "pairs": self.order.pairs,
            "variants": self.dataset.variants,
        }

    def _give(self, waiting: list[tuple[PairRead, tuple[int, ...]]], count: int) -> Sample:
        """One batch of parts of readings; the position counts it as given."""
        self.position += count
        return make_batch(waiting, self.dataset.size, self.device)

    def _reads(self, stop: int | None) -> Iterator[PairRead]:
        """Readings in order, by worker processes or here; what one holds lasts until the batch that it ends is made."""
        reader = self.dataset.reader(relight=self.device.type == "cpu")
        keys = _Keys(self.order, self.position, stop, self.dataset.variants)
        number = begin_receiving()
        # Those under way to here, and those that wait here for their batch to be full; each process has its share.
        pieces = self.ahead + -(-(2 + self.batch // self.dataset.variants) // max(self.workers, 1))
        loader = torch.utils.data.DataLoader(
            _Readings(reader), sampler=keys, batch_size=None, num_workers=self.workers, collate_fn=_as_it_is,
            prefetch_factor=self.ahead if self.workers else None, pin_memory=self.device.type == "cuda",
            multiprocessing_context=self.start_method if self.workers else None,
            worker_init_fn=partial(_begin_reading, number, pieces),
            generator=torch.Generator(),  # else every start, a resumed one too, moves the training's random numbers
        )
        try:
            for read in loader:
                if isinstance(read, OlatkitError):
                    raise read
                yield read
        finally:
            end_receiving(number)


class _Keys:
    """The readings to do, as torch wants them."""

    def __init__(self, order: Order, start: int, stop: int | None, variants: int) -> None:
        self._given = order, start, stop, variants

    def __iter__(self) -> Iterator[ReadKey]:
        order, start, stop, variants = self._given
        return order.keys(start, stop, variants)


class _Readings(torch.utils.data.Dataset):
    """A reader, as torch wants it."""

    def __init__(self, reader: PairReader) -> None:
        self._reader = reader

    def __getitem__(self, key: ReadKey) -> PairRead | OlatkitError:
        try:
            return self._reader.read(key)
        except OlatkitError as error:
            # torch would wrap it in a traceback of the worker; our errors are one line, told by the caller.
            return error


def _begin_reading(number: int, pieces: int, worker: int) -> None:
    """What a reading process does first."""
    fill_in_turn(number, worker, pieces)
    _end_with_the_training()
    show = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # The thread that hands pictures over meets the end of a training in the middle of it; the training says why.
        if not issubclass(kind, ConnectionError | EOFError):
            show(kind, error, trace)

    sys.excepthook = hook


def _end_with_the_training() -> None:
    """See to it that a reading process ends when the training process is killed.

    torch's own watch ends its loop, but then it waits for ever to hand over what it has read.
    """
    training = multiprocessing.parent_process()
    assert training is not None

    def watch() -> None:
        training.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _as_it_is(read: Any) -> Any:
    return read
