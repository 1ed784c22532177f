"""True labels of a simulated take, by the tick of their instant."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.hdf5_files import new_file
from olatkit.io.outputs import whole_file


def read_truth_labels(path: str | os.PathLike[str]) -> dict[int, np.ndarray]:
    """Labels (H, W) uint8 of every instant of a truth file, by reference tick.

    Raises
    ------
    FormatError
        The file is missing, damaged, or no truth of a simulated take.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FormatError(f"{path}: no such file; expected the truth.h5 that `olatkit simulate` wrote")
    try:
        with h5py.File(path) as file:
            ticks, labels = file["r_tick"][()], file["label"][()]
    except (OSError, KeyError) as error:
        raise FormatError(f"{path}: holds no true labels; expected the truth.h5 that `olatkit simulate` wrote "
                          f"({' '.join(str(error).split())})") from error
    return {int(tick): label for tick, label in zip(ticks, labels, strict=True)}


def write_truth_labels(
    path: str | os.PathLike[str], ticks: Sequence[int], labels: np.ndarray, alpha: np.ndarray, *, overwrite: bool = False
) -> None:
    """Write the part of a truth file that a training set needs, where the take itself is exact.

    Parameters
    ----------
    path : path
        Usually ``NAME.truth.h5``.
    ticks : sequence of int
        Reference ticks of T instants.
    labels : ndarray, shape (T, H, W), uint8
        Classes at the centres of pixels.
    alpha : ndarray, shape (T, H, W)
        Coverage, 0 to 1; stored as ``mask`` in 255 steps.
    overwrite : bool
        Replace an existing file.
    """
    arrays = {"label": labels, "mask": np.round(alpha * 255).astype(np.uint8)}
    with whole_file(path, overwrite=overwrite) as part, new_file(part) as file:
        file.create_dataset("r_tick", data=np.asarray(ticks, np.int64), track_times=False)
        for name, values in arrays.items():
            file.create_dataset(
                name, data=values, chunks=(1, *values.shape[1:]), compression="gzip", compression_opts=4,
                track_times=False,
            )
