"""True labels of a simulated take, by the tick of their instant."""

import os
from pathlib import Path

import numpy as np

from olatkit.errors import FormatError


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
