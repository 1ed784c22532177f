"""Where the chunks of an HDF5 file lie, and their packed bytes read from there without HDF5 and its one lock."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np


class OpenFile:
    """A file descriptor that is closed when nobody holds it any more, also by a thread that is still reading."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # Held here, since a program that ends may have let go of the module before its readers.
        close(self._number)

    def read(self, offset: int, out: np.ndarray) -> None:
        """Fill ``out`` (bytes) from a position in the file; moves none, so that threads and forks may share the file.

        Raises
        ------
        ValueError
            The file ends before.
        """
        if os.preadv(self._number, [out.data], offset) != out.nbytes:
            raise ValueError("the file ends inside it")


def chunk_places(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and sizes in the file of all chunks of an open dataset; size 0 is a chunk that is not stored.

    To ask HDF5 for one chunk after the other takes as long for each as to list them all.

    Returns
    -------
    offset, size : ndarray of int64
        Over the dataset's grid of chunks.

    Raises
    ------
    ValueError
        A chunk lacks one of the dataset's filters, or lies outside its shape.
    """
    grid = tuple(-(-a // b) for a, b in zip(dataset.shape, dataset.chunks, strict=True))
    offset, size = np.zeros(grid, np.int64), np.zeros(grid, np.int64)
    odd = []

    def note(info: Any) -> None:
        place = tuple(a // b for a, b in zip(info.chunk_offset, dataset.chunks, strict=True))
        if info.filter_mask or any(a >= b for a, b in zip(place, grid, strict=True)):
            odd.append(place)
        else:
            offset[place], size[place] = info.byte_offset, info.size

    dataset.id.chunk_iter(note)
    if odd:
        raise ValueError(f"chunk {odd[0]} lacks a filter or lies outside shape {dataset.shape}")
    return offset, size
