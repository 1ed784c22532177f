"""Short trainings on painted samples, and what they leave behind."""

import csv
from pathlib import Path

import torch
from painted_samples import painted_batch, tiny_config

from olatkit.learn.config import TrainConfig
from olatkit.learn.distributed import Ranks
from olatkit.learn.sample import Sample
from olatkit.learn.schedule import Stage

ALONE = Ranks(0, 1, torch.device("cpu"))


def read_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def same(a: object, b: object, path: str = "") -> None:
    """Equal to the last bit, tensors included."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path  # type: ignore[arg-type]
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path  # type: ignore[attr-defined]
        for key in a:
            same(a[key], b[key], f"{path}.{key}")  # type: ignore[index]
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path  # type: ignore[arg-type]
        for n, (x, y) in enumerate(zip(a, b, strict=True)):  # type: ignore[arg-type]
            same(x, y, f"{path}[{n}]")
    elif path != ".path":
        assert a == b, path


def two_stages() -> TrainConfig:
    stages = [{"size": 64, "batch": 2, "share": 0.5}, {"size": 64, "batch": 1, "share": 0.5}]
    return tiny_config(stages=stages, accumulate=2)


def held_out(stage: Stage) -> list[Sample]:
    return [painted_batch(1, stage.size, seed=99)]
