"""Named arrays in one piece of memory, which a reading process hands to the training process without copying."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from olatkit.learn.used_memory import empty_tensor

ALIGNMENT = 64

Layout = Mapping[str, tuple[int, tuple[int, ...], str]]


@dataclass(frozen=True, eq=False)
class SharedArrays:
    """Arrays by name, laid out one after the other in ``buffer``, a tensor of bytes."""

    buffer: torch.Tensor
    layout: Layout
    piece: "_Piece | None" = None

    def numpy(self, name: str) -> np.ndarray:
        """An array to read or fill."""
        offset, shape, kind = self.layout[name]
        count = math.prod(shape)
        flat = self.buffer.numpy()[offset : offset + count * np.dtype(kind).itemsize]
        return flat.view(kind).reshape(shape)

    def tensor(self, name: str, device: torch.device | str) -> torch.Tensor:
        """An array as a tensor on a device; uint16 comes as int16, which holds codes as well."""
        offset, shape, kind = self.layout[name]
        dtype = getattr(torch, "int16" if kind == "uint16" else kind)
        count = math.prod(shape)
        flat = self.buffer[offset : offset + count * dtype.itemsize].view(dtype).reshape(shape)
        return flat.to(device, non_blocking=True)

    def __contains__(self, name: str) -> bool:
        return name in self.layout

    def pin_memory(self) -> "SharedArrays":
        """The same arrays in memory that a GPU can copy from while it works."""
        return SharedArrays(self.buffer.pin_memory(), self.layout)

    def __reduce__(self) -> tuple:
        if self.piece is None:
            return SharedArrays, (self.buffer, self.layout)
        return _received, (self.piece.key, self.piece.to_send(), self.buffer.numel(), self.layout)


def make_arrays(shapes: Mapping[str, tuple[tuple[int, ...], type]]) -> SharedArrays:
    """Room for arrays of given shapes and types; in a process that reads for a training, memory that both see."""
    layout: dict[str, tuple[int, tuple[int, ...], str]] = {}
    size = 0
    for name, (shape, kind) in shapes.items():
        layout[name] = size, shape, np.dtype(kind).name
        bytes_ = math.prod(shape) * np.dtype(kind).itemsize
        size += -(-bytes_ // ALIGNMENT) * ALIGNMENT
    if _PIECES:
        piece = next(_TURN)
        return SharedArrays(piece.room(size), layout, piece)
    return SharedArrays(empty_tensor((size,), torch.uint8), layout)


# ---------------------------------------------------------------- memory that two processes see
#
# New shared memory costs the system more than its contents cost to make, and the training process has to ask the
# reading one for every piece. So each reading process fills a few pieces in turn and sends a piece along only when it is
# new; later its name is enough. What a piece held is overwritten ``count`` readings later.


@dataclass(eq=False)
class _Piece:
    """One piece of a reading process; ``key`` is its name in the training process."""

    key: tuple[int, int, int]
    memory: torch.Tensor | None = field(default=None)
    sent: bool = False

    def room(self, size: int) -> torch.Tensor:
        """So many bytes of it; it grows when they are more than ever."""
        if self.memory is None or self.memory.numel() < size:
            storage = torch.UntypedStorage._new_shared(max(size, 1), device="cpu")
            self.memory, self.sent = torch.empty(0, dtype=torch.uint8).set_(storage), False
        return self.memory[:size]

    def to_send(self) -> torch.Tensor | None:
        """The memory, if the training process does not have it yet."""
        new, self.sent = not self.sent, True
        return self.memory if new else None


_PIECES: list[_Piece] = []  # of a reading process
_TURN: Any = iter(())
_RECEIVED: dict[int, dict[tuple[int, int, int], torch.Tensor]] = {}  # of the training process, by reading
_NUMBERS = itertools.count()


def begin_receiving() -> int:
    """In the training process: a number for the reading processes of a loader."""
    number = next(_NUMBERS)
    _RECEIVED[number] = {}
    return number


def end_receiving(number: int) -> None:
    """In the training process: let go of the memory of a loader's reading processes."""
    _RECEIVED.pop(number, None)


def fill_in_turn(number: int, worker: int, count: int) -> None:
    """In a reading process: make arrays in ``count`` pieces of memory, one after the other."""
    global _TURN
    _PIECES[:] = [_Piece((number, worker, i)) for i in range(count)]
    _TURN = itertools.cycle(_PIECES)


def _received(key: tuple[int, int, int], memory: torch.Tensor | None, size: int, layout: Layout) -> SharedArrays:
    """Arrays that a reading process sent."""
    pieces = _RECEIVED[key[0]]
    if memory is not None:
        pieces[key] = memory
    return SharedArrays(pieces[key][:size], layout)
