"""Memory for tensors, used again once nobody holds the tensor: to get it from the system costs more than to fill it."""

import math
import weakref
from collections import defaultdict, deque

import numpy as np
import torch

SMALL = 2**16  # bytes below which the C library keeps memory itself
KEPT = 3  # free pieces of a size; a training fills one batch while it works on another

_FREE: defaultdict[int, deque[np.ndarray]] = defaultdict(lambda: deque(maxlen=KEPT))


def empty_tensor(shape: tuple[int, ...], kind: torch.dtype) -> torch.Tensor:
    """A tensor on the CPU with any content, like ``torch.empty``."""
    count = math.prod(shape) * kind.itemsize
    if count < SMALL:
        return torch.empty(shape, dtype=kind)
    free = _FREE[1 << (count - 1).bit_length()]  # what is never touched of a larger piece takes no memory
    try:
        piece = free.pop()
    except IndexError:
        piece = np.empty(1 << (count - 1).bit_length(), np.uint8)
    # An object of its own, which the tensor and all its views hold: when the last of them is gone, so is this.
    lent = piece[:count]
    weakref.finalize(lent, free.append, piece).atexit = False
    return torch.from_numpy(lent).view(kind).reshape(shape)
