"""Silence for a library that prints on file descriptors 1 and 2 and on Python's ``sys.stdout``."""

import contextlib
import ctypes
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TextIO

_lock = Lock()
_calls = 0
_kept: dict[int, int] = {}
_kept_stdout: TextIO | None = None


@contextmanager
def silence() -> Iterator[None]:
    """Send descriptors 1 and 2 and ``sys.stdout`` nowhere while the block runs.

    Blocks of several threads may overlap: the first takes the outlets away, the last puts them back. What other
    threads print meanwhile is lost, so a block is to be a single call.
    """
    global _calls
    with _lock:
        if _calls == 0:
            _take()
        _calls += 1
    try:
        yield
    finally:
        with _lock:
            _calls -= 1
            if _calls == 0:
                _give_back()


def _take() -> None:
    """Point the descriptors to nowhere and keep copies; a descriptor that is closed stays so."""
    global _kept_stdout
    _flush()
    if sys.stdout is not None:
        _kept_stdout, sys.stdout = sys.stdout, io.StringIO()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            _kept[descriptor] = os.dup(descriptor)
            os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _give_back() -> None:
    global _kept_stdout
    _flush()
    if _kept_stdout is not None:
        sys.stdout, _kept_stdout = _kept_stdout, None
    for descriptor, kept in _kept.items():
        os.dup2(kept, descriptor)
        os.close(kept)
    _kept.clear()


def _flush() -> None:
    """Write out what Python and the C library hold back: it belongs to the time before."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).fflush(None)
