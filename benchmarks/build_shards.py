"""Imagesets per second that become shards, what bounds it, and what a second worker brings.

A take of a simulated head (114 lights, sensor noise), under two names, is built with the default settings, labels from
the foreground; shards hold ``--per-shard`` imagesets, so that tasks take seconds; at each edge one imageset more is
looked at. The time of every step is measured alone, one thread. A loop of multiplications in two threads at once says how
much a second core of this machine brings at most: virtual cores often share one real core. At the end: what the paper's
5,292 imagesets would take at the measured rates.

    python benchmarks/build_shards.py [--size 512] [--imagesets 12] [--per-shard 3] [--bake 0] [--scheduler threads]
        [--folder KEEP] [--json FILE]
"""

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread

import cv2
import numba
import numpy as np
from head_take import make_bank, make_take

from olatkit.color import to_srgb8
from olatkit.io.shard_set import ShardSet
from olatkit.io.shard_writing import ShardWriter, file_sha256
from olatkit.io.takes import open_take
from olatkit.jobs.build_shards import build_shards
from olatkit.jobs.shard_pictures import make_square, read_square
from olatkit.jobs.shard_plan import ShardConfig
from olatkit.render.fully_lit import fully_lit
from olatkit.vision.labels import make_labeller
from olatkit.vision.matting import alpha_matte, stack_foreground
from olatkit.vision.pair_flow import flow_pair

PAPER_IMAGESETS = 5292


@numba.njit(nogil=True)
def multiply(rounds):
    values = np.ones(64, np.float32)
    for _ in range(rounds):
        for i in range(64):
            values[i] = values[i] * np.float32(0.999) + np.float32(0.1)
    return values[0]


def second_core() -> float:
    """How many times the work of one thread two threads do that only multiply, best of five."""
    multiply(1)
    best = dict.fromkeys((1, 2), np.inf)
    for _ in range(5):
        for count in best:
            threads = [Thread(target=multiply, args=(10_000_000,)) for _ in range(count)]
            start = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            best[count] = min(best[count], time.perf_counter() - start)
    return 2 * best[1] / best[2]


def steps(take_path: Path, shards: Path, config: ShardConfig, folder: Path) -> dict[str, float]:
    """Seconds of each step for one imageset, best of three."""
    take, size = open_take(take_path), config.size
    header = ShardSet(shards).locate("head", 0)[0].header
    square = make_square(take, size)
    other = to_srgb8(header.kappa * fully_lit(read_square(take, 1, size, square)[0], take.rig))
    radiance, codes, _ = read_square(take, 0, size, square)
    full = to_srgb8(header.kappa * fully_lit(radiance, take.rig))
    coverage = stack_foreground(radiance)
    labeller = make_labeller(config.labels)

    def write():
        with ShardWriter(folder / "step.h5", header) as writer:
            writer.write_olat(0, codes)

    calls = {
        "read and decode the take, encode": lambda: read_square(take, 0, size, square),
        "fully lit picture": lambda: to_srgb8(np.float32(header.kappa) * fully_lit(radiance, take.rig)),
        "coverage": lambda: stack_foreground(radiance),
        "matte": lambda: alpha_matte(full, (coverage > 0.5).astype(np.float32)),
        f"labels ({labeller.name})": lambda: labeller.parse(full, coverage, 0),
        "flow, both ways": lambda: flow_pair(full, other, config.labels),
        "compress and write": write,
        "SHA-256 of the file": lambda: file_sha256(next(shards.glob("shard-00000.h5"))),
    }
    best = dict.fromkeys(calls, np.inf)
    for _ in range(3):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - start)
    best["SHA-256 of the file"] /= header.count
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--imagesets", type=int, default=12)
    parser.add_argument("--per-shard", type=int, default=3)
    parser.add_argument("--bake", type=int, default=0)
    parser.add_argument("--scheduler", default="threads", help="threads, or processes, whose start is counted")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)) / f"build-{given.size}"
        take = folder / "head.olat.h5"
        make_take(take, given.size, given.imagesets)
        takes = [take, folder / "again.olat.h5"]
        takes[1].unlink(missing_ok=True)
        takes[1].hardlink_to(take)
        config = ShardConfig.model_validate({
            "size": given.size, "bake": given.bake, "shard_imagesets": given.per_shard,
            "labels": {"parsing": "foreground"},
        })
        bank, seconds = make_bank(folder / "bank.h5"), {}
        cv2.setNumThreads(1)  # a worker is one core; alone it would let OpenCV use them all
        build_shards(takes, folder / "warm", config, bank=bank, overwrite=True)  # compiled kernels, file cache
        for workers in (1, 2):
            out = folder / f"workers-{workers}"
            shutil.rmtree(out, ignore_errors=True)
            start = time.perf_counter()
            build_shards(takes, out, config, bank=bank, scheduler=given.scheduler, workers=workers)
            seconds[workers] = time.perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        stored = sum(path.stat().st_size for path in (folder / "workers-1").glob("shard-*.h5")) / 1e6
        parts = steps(take, folder / "workers-1", config, folder)
        most = second_core()
        for name in ("warm", "workers-1", "workers-2"):
            shutil.rmtree(folder / name)
    count = 2 * given.imagesets
    print(f"{count} imagesets of {given.size} x {given.size} in two takes, {given.per_shard} per shard, "
          f"{stored / count:.1f} MB per imageset, {given.scheduler}")
    for workers, value in seconds.items():
        print(f"{workers} worker{'s' * (workers > 1):2}{value:8.1f} s {count / value:8.3f} imagesets/s")
    print(f"2 workers are {seconds[1] / seconds[2]:.2f} times as fast as 1; peak memory {memory:.0f} MB")
    print(f"two threads that only multiply do {most:.2f} times the work of one on this machine")
    for name, value in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"  {name:36}{1e3 * value:9.1f} ms per imageset, one thread")
    one = count / seconds[2]
    each = count / seconds[1]
    print(f"{PAPER_IMAGESETS} imagesets: {PAPER_IMAGESETS / one / 3600:.2f} h on these two cores; "
          f"{PAPER_IMAGESETS / each / 50 / 60:.1f} min on 50 workers of one core each, "
          f"if the disk takes {50 * each * stored / count / 1000:.1f} GB/s")
    if given.json:
        found = {"seconds": seconds, "steps": parts, "memory_mb": memory, "second_core": most}
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(main())
