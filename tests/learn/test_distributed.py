"""Training in two processes: the same weights in both, and the curve of one process with twice the batch."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from olatkit.io.describe import describe
from olatkit.learn.checkpoint import find_checkpoints
from olatkit.learn.distributed import Ranks, average_over_ranks, in_parallel, join_ranks, no_exchange

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("two_processes.py")


def _train(folder: Path, processes: int, **settings: object) -> list[dict[str, float]]:
    """Run a training in its own processes; the rows of its metrics."""
    folder.mkdir()
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    done = subprocess.run(
        [sys.executable, *launch, str(SCRIPT), str(folder), json.dumps(settings)], check=False, capture_output=True,
        text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}, cwd=ROOT, timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with (folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["tiny", "lite"])
def test_both_processes_hold_the_same_weights_with_everything_on(tmp_path: Path, variant: str) -> None:
    stages = [{"size": 64, "batch": 1, "share": 0.5}, {"size": 128, "batch": 1, "share": 0.5}]
    rows = _train(
        tmp_path / "run", 2, variant=variant, stages=stages, steps=6, accumulate=2,
        critic={"widths": [8] * 5, "steps": 2, "memory": 2},
    )
    assert rows[-1]["pairs"] == 24
    assert {fact.key: fact.value for fact in describe(tmp_path / "run").facts}["pairs"] == 24
    assert rows[-1]["adversarial"]
    first, second = (torch.load(tmp_path / "run" / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
    for part in ("network", "critic"):
        # What batch normalisation remembers belongs to each process; the first one's is saved, and sent to the others.
        weights = {name for name in first[part] if "running" not in name and "num_batches" not in name}
        assert len(weights) > 10
        for name in weights:
            assert torch.equal(first[part][name], second[part][name]), name
    alone = _train(tmp_path / "alone", 1, variant=variant, stages=stages, steps=6, accumulate=2,
                   critic={"widths": [8] * 5, "steps": 2, "memory": 2})
    assert alone[0]["total"] != rows[0]["total"]  # the second process's samples count


@pytest.mark.slow
def test_both_processes_find_the_only_checkpoint(tmp_path: Path) -> None:
    """Written at the very end, by the first process, while the other one is done; `base` takes long to write."""
    _train(tmp_path / "run", 2, variant="base", steps=1, stages=[{"size": 64, "batch": 1, "share": 1}],
           losses={"adversarial": False, "temporal": False, "warm_up": 0})
    assert [path.name for path in find_checkpoints(tmp_path / "run")] == ["step-0000001.pt"]


@pytest.mark.slow
def test_two_processes_follow_the_curve_of_one_with_twice_the_batch(tmp_path: Path) -> None:
    settings = {"double": True, "steps": 5, "losses": {"warm_up": 0, "adversarial": False}}
    two = _train(tmp_path / "two", 2, **settings, stages=[{"size": 64, "batch": 1, "share": 1}])
    one = _train(tmp_path / "one", 1, **settings, stages=[{"size": 64, "batch": 2, "share": 1}])
    for a, b in zip(two, one, strict=True):
        for name in ("total", "basic", "latent", "parsing", "temporal", "gradient", "psnr"):
            # Double precision inside; the file has six digits.
            assert a[name] == pytest.approx(b[name], rel=2e-5), (a["step"], name)


def test_alone_nothing_is_exchanged() -> None:
    ranks, module = Ranks(0, 1, torch.device("cpu")), torch.nn.Linear(2, 2)
    assert in_parallel(module, ranks) is module
    value = torch.ones(3)
    average_over_ranks([value], ranks)
    assert value.tolist() == [1, 1, 1]
    with no_exchange(module, wait=True):
        pass
    ranks.wait()


def test_one_process_is_its_own_group() -> None:
    with join_ranks("cpu") as ranks:
        assert (ranks.rank, ranks.count, ranks.device.type, ranks.first) == (0, 1, "cpu", True)


def test_auto_takes_what_is_there() -> None:
    with join_ranks("auto") as ranks:
        assert ranks.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
