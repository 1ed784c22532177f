"""Speed of `olatkit bank build`: maps per minute and core, where the time goes, and what a second worker brings.

Maps are those of $OLATKIT_TEST_DATA/hdri (1024x512, half .hdr, half .exr with lossy compression), each linked --times
times; without them, random .exr maps of the same size. Linked copies are read and reduced like any other file and only
then left out of the bank as duplicates.

    python benchmarks/bank.py [--times 6] [--workers 2]
"""

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from olatkit.envmap import find_clipped_light
from olatkit.io.environments import read_environment
from olatkit.io.exr import write_exr
from olatkit.io.images import read_image
from olatkit.jobs.build_bank import build_bank, find_maps
from olatkit.render.bank import make_entry


def fill(folder, times):
    """Put maps into a folder; returns their number."""
    data = os.environ.get("OLATKIT_TEST_DATA")
    if data:
        sources = find_maps(Path(data) / "hdri")
        for k in range(times):
            (folder / f"{k:02d}").mkdir()
            for source in sources:
                (folder / f"{k:02d}" / source.name).symlink_to(source)
        return times * len(sources)
    rng = np.random.default_rng(0)
    for k in range(3 * times):
        sky = np.exp(rng.normal(0, 2, (512, 1024, 3))).astype(np.float32)
        write_exr(folder / f"random{k:03d}.exr", sky)
    return 3 * times


def stages(paths):
    """Milliseconds per map of each step, one core."""
    spent = {"decode": 0.0, "read_environment (with decode)": 0.0, "  of it: look for clipped suns": 0.0,
             "16x16 and 64x128": 0.0}
    for path in paths:
        start = time.perf_counter()
        read_image(path)
        decoded = time.perf_counter()
        environment = read_environment(path)
        read = time.perf_counter()
        find_clipped_light(environment)
        looked = time.perf_counter()
        make_entry(environment)
        end = time.perf_counter()
        for name, value in zip(spent, (decoded - start, read - decoded, looked - read, end - looked), strict=True):
            spent[name] += 1e3 * value / len(paths)
    return spent


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    logging.getLogger("olatkit").setLevel(logging.ERROR)  # what is odd about the maps is not of interest here
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "maps"
        folder.mkdir()
        count = fill(folder, args.times)
        paths = find_maps(folder)
        stages(paths[:1])  # loads what is loaded on first use
        for name, value in stages(paths[: max(6, count // args.times)]).items():
            print(f"{name:34s} {value:7.1f} ms per map")
        for scheduler, workers in (("sync", 1), ("threads", args.workers), ("processes", args.workers)):
            label = "one core" if scheduler == "sync" else f"{workers} {scheduler}"
            start = time.perf_counter()
            build_bank(folder, Path(scratch) / "bank.h5", scheduler=scheduler, workers=workers, overwrite=True)
            rate = 60 * count / (time.perf_counter() - start)
            print(f"{label:12s} {count} maps: {rate:6.0f} maps per minute, {rate / workers:6.0f} per core")


if __name__ == "__main__":
    main()
