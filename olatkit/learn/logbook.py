"""What a training writes down: ``metrics.csv``, ``pictures/``, and TensorBoard events where that is installed."""

import csv
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from olatkit.io.images import write_png
from olatkit.io.outputs import whole_file
from olatkit.learn.distributed import Ranks, average_over_ranks

log = logging.getLogger(__name__)

# One row per report; a value that was not measured stays empty.
COLUMNS = (
    "step", "size", "pairs", "hours", "pairs_per_s", "waiting", "total", "basic", "latent", "parsing", "temporal",
    "temporal_floor", "adversarial", "critic", "gradient", "psnr", "light_error", "code_spread", "val_psnr",
    "val_rmse", "val_copy_psnr",
)


class Means:
    """Means of named values since they were last asked for; values stay on their device until then."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add one value, shape (), per name."""
        for name, value in values.items():
            self._sums[name] = value.detach() + self._sums.get(name, 0)
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self, ranks: Ranks) -> dict[str, float]:
        """The means over all processes, which must have added values of the same names, and start again."""
        means = [value / self._counts[name] for name, value in self._sums.items()]
        average_over_ranks(means, ranks)
        named = dict(zip(self._sums, torch.stack(means).tolist(), strict=True)) if means else {}
        self._sums.clear()
        self._counts.clear()
        return named


class Logbook:
    """Rows and pictures of one run.

    Parameters
    ----------
    folder : Path
        The run's folder.
    after : int
        Rows, pictures and events of later steps are dropped: a resumed run repeats them. 0 starts anew.
    tensorboard : bool
        Write TensorBoard events too, if the package is installed.
    """

    def __init__(self, folder: Path, *, after: int = 0, tensorboard: bool = True) -> None:
        self._folder = folder
        self._path = folder / "metrics.csv"
        rows = [row for row in _read_rows(self._path) if int(row["step"]) <= after] if after else []
        with whole_file(self._path, overwrite=True) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        for picture in (folder / "pictures").glob("step-*.png"):
            number = picture.stem.removeprefix("step-")
            if number.isdecimal() and int(number) > after:
                picture.unlink()
        if not after:  # a run that goes on keeps the batch that stopped it
            for failure in folder.glob("failed-step-*-process-*.pt"):
                failure.unlink()
        self._events = _open_events(folder, after) if tensorboard else None

    def add_row(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row; every value must have a column."""
        row = {"step": step, **{name: f"{value:.6g}" for name, value in values.items()}}
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def add_picture(self, step: int, picture: np.ndarray) -> None:
        """Write a picture (H, W, 3) uint8 as ``pictures/step-N.png``."""
        write_png(self._folder / "pictures" / f"step-{step:07d}.png", picture, overwrite=True)
        if self._events is not None:
            self._events.add_image("samples", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Finish the event file."""
        if self._events is not None:
            self._events.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a ``metrics.csv``, without what was not measured; none if there is no such file."""
    return [{name: float(value) for name, value in row.items() if value} for row in _read_rows(path)]


def _read_rows(path: Path) -> list[dict[str, str]]:
    """Rows as text, so that copying them changes nothing."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _open_events(folder: Path, after: int) -> Any:
    """A TensorBoard writer, or None where the package is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.warning("TensorBoard is not installed (pip install 'olatkit[train]'): curves go to metrics.csv only")
        return None
    return SummaryWriter(folder / "tensorboard", purge_step=after + 1)
