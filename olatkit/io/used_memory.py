"""Memory for arrays, used again once nobody holds them: to get it from the system can cost more than to fill it."""

import math
import os
import sys
import threading

import numpy as np

SMALL, LARGE = 2**16, 2**27  # bytes: the C library keeps less itself; more is not kept by a process that may not need it
KEPT = 2  # pieces of memory; a reader fills one while another looks at what it read before

_LOCK = threading.Lock()
_PIECES: list[np.ndarray] = []
# A fork while another thread asks would leave the lock taken in the child for ever.
os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


def _references(pieces: list[np.ndarray], number: int) -> int:
    """References to a piece: that of the list, that of asking, and of every view, views of views included."""
    return sys.getrefcount(pieces[number])


_UNHELD = _references([np.empty(1)], 0)


def empty_array(shape: tuple[int, ...], kind: np.typing.DTypeLike) -> np.ndarray:
    """An array with any content, like ``np.empty``; in memory of an earlier one if all views of that are gone."""
    count = math.prod(shape) * np.dtype(kind).itemsize
    if not SMALL <= count <= LARGE:
        return np.empty(shape, kind)
    with _LOCK:
        for number in range(len(_PIECES)):
            if count <= _PIECES[number].size <= 2 * count and _references(_PIECES, number) == _UNHELD:
                return _PIECES[number][:count].view(kind).reshape(shape)
        piece = np.empty(count, np.uint8)
        _PIECES.insert(0, piece)
        del _PIECES[KEPT:]
        return piece.view(kind).reshape(shape)
