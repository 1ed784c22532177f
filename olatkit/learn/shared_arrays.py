"""Named arrays in one piece of memory, which a reading process hands to the training process without copying."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from olatkit.learn.used_memory import empty_tensor

ALIGNMENT = 64


@dataclass(frozen=True, eq=False)
class SharedArrays:
    """Arrays by name, laid out one after the other in ``buffer``, a tensor of bytes."""

    buffer: torch.Tensor
    layout: Mapping[str, tuple[int, tuple[int, ...], str]]

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


def make_arrays(shapes: Mapping[str, tuple[tuple[int, ...], type]]) -> SharedArrays:
    """Room for arrays of given shapes and types; in a process that loads data, memory that other processes see."""
    layout: dict[str, tuple[int, tuple[int, ...], str]] = {}
    size = 0
    for name, (shape, kind) in shapes.items():
        layout[name] = size, shape, np.dtype(kind).name
        bytes_ = math.prod(shape) * np.dtype(kind).itemsize
        size += -(-bytes_ // ALIGNMENT) * ALIGNMENT
    if torch.utils.data.get_worker_info() is None:
        return SharedArrays(empty_tensor((size,), torch.uint8), layout)
    # As torch's own collation does: filled in place, handed over by its name.
    storage = torch.UntypedStorage._new_shared(max(size, 1), device="cpu")
    return SharedArrays(torch.empty(0, dtype=torch.uint8).set_(storage)[:size], layout)
