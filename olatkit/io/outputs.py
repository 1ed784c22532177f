"""Output files appear whole or not at all, and never replace a file the user did not ask to replace."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from olatkit.errors import OutputExistsError


def refuse_existing(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise OutputExistsError if ``path`` is there and ``overwrite`` is false, or if it is a folder."""
    if Path(path).is_dir():
        raise OutputExistsError(f"{path}: is a folder, expected the name of a file to write")
    if not overwrite and Path(path).exists():
        raise OutputExistsError(f"{path}: already exists; give --overwrite to replace it, or choose another output")


@contextmanager
def whole_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a ``path``.part to write; rename it to ``path`` on success, remove it after an error.

    Raises
    ------
    OutputExistsError
        ``path`` exists and ``overwrite`` is false; checked before anything is written.
    OSError
        As raised inside; one that names no file, as when the disk is full, is given this ``path``.
    """
    path = Path(path)
    refuse_existing(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise OSError(error.errno, f"cannot be written: {error.strerror}", str(path)) from error
        raise


def copy_file(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a file; the target appears whole or not at all, and replaces an older one.

    Raises
    ------
    OSError
        Names the target if that cannot be written.
    """
    with open(source, "rb") as original, whole_file(target, overwrite=True) as part:
        try:
            with open(part, "wb") as copy:
                shutil.copyfileobj(original, copy, 1 << 20)
        except OSError as error:
            raise OSError(error.errno, f"cannot be written: {error.strerror}", str(target)) from error
