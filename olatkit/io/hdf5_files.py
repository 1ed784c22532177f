"""HDF5 files of ours: opened to be filled whole or not at all."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from olatkit.io.chunks import filters


def hdf5() -> Any:
    """The h5py module with the bitshuffle filter registered."""
    import h5py
    import hdf5plugin  # noqa: F401  registers the bitshuffle filter

    return h5py


def empty_dataset(file: Any, name: str, shape: tuple[int, ...], kind: Any, leading: int, compression: str) -> Any:
    """A dataset with one chunk per item of its ``leading`` axes."""
    chunks = (1,) * leading + shape[leading:]
    return file.create_dataset(name, shape, kind, chunks=chunks, track_times=False, **filters(compression))


class _Outlet(io.FileIO):
    """A file for HDF5 to write to; a write that fails is remembered instead of raised.

    HDF5 cannot close a file that it cannot write to: it leaves it open and crashes when the process ends.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of ``data``, or remember why not."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while len(rest) and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file, or remember why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


@contextmanager
def new_file(path: Path) -> Iterator[Any]:
    """An HDF5 file to fill; removed again if it cannot be written whole."""
    try:
        with _Outlet(path, "w+") as outlet:
            with hdf5().File(outlet, "w", libver=("earliest", "v110")) as file:
                yield file
            if outlet.error is not None:
                raise OSError(outlet.error.errno, f"cannot be written: {outlet.error.strerror}", str(path))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
