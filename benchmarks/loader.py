"""Samples per second that a training gets from shards, and what its memory is.

A pair-sample is two neighbouring instants under two source lightings and one target lighting: four relit pictures,
labels, masks, flow and occlusion both ways, two fully lit pictures. From single lights each reading of a pair gives
``--lightings`` samples. Timed is the training process's loop over ready batches on the CPU, after a start-up.

    python benchmarks/loader.py [--size 256] [--imagesets 12] [--workers 0 1 2] [--seconds 10] [--folder KEEP] [--json FILE]
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
from head_take import make_bank, make_take

from olatkit import ShardDataset, ShardLoader
from olatkit.jobs.build_shards import build_shards
from olatkit.jobs.shard_plan import ShardConfig
from olatkit.learn.augment import AugmentConfig


def rate(dataset: ShardDataset, workers: int, batch: int, seconds: float) -> tuple[float, float, float]:
    """Samples per second; processor time [ms] per sample and memory [MB] after them, of this process and its workers."""
    batches = iter(ShardLoader(dataset, batch, workers=workers))
    for _ in range(4):
        next(batches)
    start, count, spent = time.perf_counter(), 0, _processor_s()
    while time.perf_counter() < start + seconds:
        count += next(batches).batch
    # Looking at the memory takes long: the clock has stopped.
    return count / (time.perf_counter() - start), 1e3 * (_processor_s() - spent) / count, _memory()


def _processor_s() -> float:
    """Processor time of this process and its children [s]; what others do on the machine does not count."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _memory() -> float:
    """Memory of this process and its children [MB], what they share counted in parts."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(process.memory_full_info().pss for process in processes) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--imagesets", type=int, default=12)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--lightings", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    # A worker is a process of one thread; the training process gets the rest of two cores.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)) / f"loader-{given.size}"
        make_take(folder / "head.olat.h5", given.size, given.imagesets)
        config = ShardConfig.model_validate({
            "size": given.size, "bake": given.lightings, "matte": False,
            "labels": {"parsing": "foreground", "flow_preset": "medium"},
        })
        bank = make_bank(folder / "bank.h5")
        build_shards([folder / "head.olat.h5"], folder / "shards", config, bank=bank)
        plain = {"variants": given.lightings}
        varied = {**plain, "crops": 2, "augment": AugmentConfig()}
        one = {"variants": 1}
        sources = {
            f"OLAT, {given.lightings} lightings per reading": ("olat", plain),
            "  the same, augmented (2 crops, noise, JPEG)": ("olat", varied),
            "OLAT, 1 lighting per reading": ("olat", one),
            f"baked, {given.lightings} per reading": ("baked", plain),
            "  the same, augmented": ("baked", varied),
        }
        out = {}
        print(f"pair-samples per second at {given.size} x {given.size}, batches of {given.batch}")
        print("in brackets: processor time per sample [ms], memory [MB]")
        print(f"{'workers':48}" + "".join(f"{workers:>23}" for workers in given.workers))
        for name, (source, options) in sources.items():
            dataset = ShardDataset(folder / "shards", source=source, **options)
            row = [rate(dataset, workers, given.batch, given.seconds) for workers in given.workers]
            print(f"{name:48}" + "".join(f"{a:9.1f} ({b:5.1f}, {c:4.0f})" for a, b, c in row), flush=True)
            out[name.strip()] = dict(zip(map(str, given.workers), row, strict=True))
    if given.json:
        given.json.write_text(json.dumps(out, indent=1))


if __name__ == "__main__":
    sys.exit(main())
