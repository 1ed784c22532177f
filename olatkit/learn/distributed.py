"""Training in several processes: who am I, and how do gradients meet.

Started by ``torchrun``, every process trains on its own samples, and gradients are averaged over all of them.
``DistributedDataParallel`` does that in the hooks of ``backward``; what ``torch.autograd.grad`` returns passes no hook
and is averaged by :func:`average_over_ranks`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from olatkit.errors import ConfigError


@dataclass(frozen=True)
class Ranks:
    """This process among ``count`` of them, and its device."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            torch.distributed.barrier()


@contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started; a process that was started alone is its own group.

    Parameters
    ----------
    device : str
        "cpu", "cuda" (with torchrun: one device per process), "cuda:1" or "auto".

    Raises
    ------
    ConfigError
        The device is not there.
    """
    rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    chosen = _find_device(device, int(os.environ.get("LOCAL_RANK", 0)))
    if count == 1:
        yield Ranks(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    torch.distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Ranks(rank, count, chosen)
    finally:
        torch.distributed.destroy_process_group()


def _find_device(device: str, local_rank: int) -> torch.device:
    """A torch device by name; the first or this process's GPU if only "cuda" is said."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device '{device}' is unknown, expected auto, cpu, cuda or cuda:N") from error
    if chosen.type not in ("cpu", "cuda"):
        raise ConfigError(f"device '{device}' is not supported, expected auto, cpu, cuda or cuda:N")
    if chosen.type == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError(f"device '{device}': this PyTorch sees no GPU; use --device cpu, or install a CUDA build")
        chosen = torch.device("cuda", local_rank if chosen.index is None else chosen.index)
        if (chosen.index or 0) >= torch.cuda.device_count():
            raise ConfigError(f"device '{chosen}' is not there, found {torch.cuda.device_count()} GPU(s)")
    return chosen


def in_parallel(module: nn.Module, ranks: Ranks, *, unused: bool = False) -> nn.Module:
    """The module, wrapped so that ``backward`` averages gradients over all processes; alone it stays as it is.

    ``unused`` says that some parameters get no gradient in some steps.
    """
    if ranks.count == 1:
        return module
    return nn.parallel.DistributedDataParallel(module, find_unused_parameters=unused)


@contextmanager
def no_exchange(module: nn.Module, wait: bool) -> Iterator[None]:
    """Gradients of this pass stay in the process while ``wait``: a later pass of the same step sends the sum."""
    if wait and isinstance(module, nn.parallel.DistributedDataParallel):
        with module.no_sync():
            yield
    else:
        yield


def average_over_ranks(tensors: Sequence[Tensor], ranks: Ranks) -> None:
    """Replace every tensor by its mean over all processes, in place, in one exchange."""
    if ranks.count == 1 or not tensors:
        return
    flat = torch.cat([x.flatten() for x in tensors])
    torch.distributed.all_reduce(flat)
    flat /= ranks.count
    for tensor, part in zip(tensors, flat.split([x.numel() for x in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))
