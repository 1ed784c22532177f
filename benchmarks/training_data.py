"""Share of time that a training waits for data, and what it reaches with its reading processes, from shards on disk.

    python benchmarks/training_data.py [--device cuda] [--variants tiny lite] [--steps 8] [--workers 1] [--folder KEEP]

For each variant the samples come from single lights (OLAT: read, unpacked and relit afresh, four samples per reading) and
from relit pairs that were stored (baked). The figures are those of the last row of the run's metrics.csv; the first half
of the steps, in which readers and kernels start, does not count.
"""

import argparse
import tempfile
from pathlib import Path

from head_take import make_bank, make_take

from olatkit.jobs.build_shards import build_shards
from olatkit.jobs.shard_plan import ShardConfig
from olatkit.learn.config import TrainConfig
from olatkit.learn.distributed import Ranks, join_ranks
from olatkit.learn.feeding import open_shards
from olatkit.learn.logbook import read_metrics
from olatkit.learn.train import train

# Variant, side [px], pairs per batch.
CPU_CASES = (("tiny", 64, 4), ("lite", 128, 2), ("small", 128, 1))
GPU_CASES = (("tiny", 64, 64), ("lite", 256, 16), ("small", 256, 16), ("base", 256, 8))


def make_shards(folder: Path, size: int, imagesets: int, workers: int) -> Path:
    """Shards of a simulated head with single lights and four baked lightings per pair."""
    make_take(folder / "head.olat.h5", size, imagesets)
    config = ShardConfig.model_validate({
        "size": size, "bake": 4, "matte": False, "labels": {"parsing": "foreground", "flow_preset": "medium"},
    })
    bank = make_bank(folder / "bank.h5")
    build_shards([folder / "head.olat.h5"], folder / "shards", config, bank=bank, overwrite=True, workers=workers)
    return folder / "shards"


def waiting(
    shards: Path, case: tuple[str, int, int], source: str, run: Path, given: argparse.Namespace, ranks: Ranks
) -> tuple[float, float]:
    """Pairs per second, and the share of time in which nothing was there to train on."""
    variant, size, batch = case
    config = TrainConfig.model_validate({
        "variant": variant, "steps": 2 * given.steps, "stages": [{"size": size, "batch": batch, "share": 1}],
        "precision": given.precision, "losses": {"warm_up": 0},
        "loader": {"source": source, "workers": given.workers, "variants": 4, "crops": 2},
        "report": {
            "metrics_every": given.steps, "validation_pairs": 0, "pictures_every": 10**6, "checkpoint_every": 10**6,
            "validate_every": 10**6, "tensorboard": False,
        },
    })
    train(config, open_shards(shards, config, ranks)[0], run, ranks, overwrite=True)
    row = read_metrics(run / "metrics.csv")[-1]
    return row["pairs_per_s"], row["waiting"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--variants", nargs="*", help="only these")
    parser.add_argument("--steps", type=int, default=8, help="steps that count, after as many that do not")
    parser.add_argument("--imagesets", type=int, default=6)
    parser.add_argument("--workers", type=int, default=1, help="reading processes")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, join_ranks(given.device) as ranks:
        folder = given.folder or Path(temporary)
        cases = GPU_CASES if ranks.device.type == "cuda" else CPU_CASES
        shards = make_shards(folder, max(size for _, size, _ in cases), given.imagesets, given.workers)
        print(f"{ranks.device}, {given.precision}, {given.workers} reading process(es)")
        print("variant  size  batch  source  pairs/s  waiting")
        for case in cases:
            if given.variants and case[0] not in given.variants:
                continue
            for source in ("olat", "baked"):
                pairs, share = waiting(shards, case, source, folder / "run", given, ranks)
                print(f"{case[0]:<7} {case[1]:>5} {case[2]:>6}  {source:<6} {pairs:>8.3g} {share:>8.1%}", flush=True)


if __name__ == "__main__":
    main()
