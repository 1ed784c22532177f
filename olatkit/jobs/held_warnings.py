"""Warnings wait until work is accepted: what is refused says why in one line and nothing else."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ONE_BLOCK = threading.RLock()  # another one would find the logger cut off, and leave it so


class _Keeper(logging.Handler):
    """Keeps warnings; lets everything else through at once."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            self.kept.append(record)
        else:
            logging.getLogger().handle(record)


@contextmanager
def held_warnings() -> Iterator[None]:
    """Hold this package's warnings back until the block has ended; after an error they are not told."""
    logger, keeper = logging.getLogger("olatkit"), _Keeper()
    with _ONE_BLOCK:
        before = logger.propagate
        logger.addHandler(keeper)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(keeper)
            logger.propagate = before
    for record in keeper.kept:
        logging.getLogger().handle(record)
