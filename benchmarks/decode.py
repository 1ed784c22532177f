"""Decoding of packed Phantom frames against two public readers and against a plain copy of the decoded bytes.

Every reader opens the same real file and hands over the same frames as arrays through its public interface, warm
(file in the page cache, code compiled), in one process and one thread. A ratio is the other's median time over
ours; above 1 means that olatkit is faster.

    python benchmarks/decode.py [--frames 40] [--size 1280x720] [--repeats 9] [--json PATH]

Needs the extra ``bench``. Both readers are measured only where they are right: pycine-lite decodes P12L and P10,
cine-handler P10.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.io import p10
from olatkit.io.cine import CineStream
from olatkit.io.cine_writer import write_cine


def write_take(path: Path, packing: str, shape: tuple[int, int], count: int) -> None:
    """A mono take of noise: every code occurs, and cine-handler need not sort colours."""
    rng = np.random.default_rng(0)
    values = p10.LINEAR_OF_CODE if packing == "p10" else np.arange(4096)
    frames = (values[rng.integers(0, len(values), shape)] for _ in range(count))
    times_s = np.arange(count) / 1000
    write_cine(path, frames, frame_rate_hz=1000, packing=packing, times_s=times_s, exposure_s=9e-4)


def read_pycine_lite(path: Path, count: int) -> list[np.ndarray]:
    """Its frames: always stretched from black and white level to 0 and 4095."""
    from pycine.raw import read_frames

    images, _, _ = read_frames(str(path), start_frame=1, count=count)
    return list(images)


def unpack_pycine_lite(path: Path, packing: str) -> list[np.ndarray]:
    """Its unpacking (and table) alone, without the stretching."""
    from pycine.file import read_header
    from pycine.linLUT import linLUT
    from pycine.raw import unpack_10bit, unpack_12bit

    header = read_header(str(path))
    bitmap = header["bitmapinfoheader"]
    frames = []
    with open(path, "rb") as file:
        for offset in header["pImage"]:
            file.seek(offset + 8)
            data = file.read(bitmap.biSizeImage)
            if packing == "p10":
                frames.append(linLUT[unpack_10bit(data, bitmap.biWidth, bitmap.biHeight)].astype(np.uint16))
            else:
                frames.append(unpack_12bit(data, bitmap.biWidth, bitmap.biHeight))
    return frames


def read_cine_handler(path: Path) -> list[np.ndarray]:
    from cine_reader.cine import Cine

    frames = []
    with Cine(str(path), keep_annotations=False) as cine:
        for number in range(cine.first_frame_number, cine.last_frame_number + 1):
            cine.load_frame(number)
            frames.append(cine.frame)
    return frames


def make_tasks(packing: str, path: Path, count: int) -> dict[str, Callable[[], Any]]:
    """Functions that return all frames, by name of the reader, checked to return the same values."""
    decoded = CineStream(path).read(0, count)
    tasks: dict[str, Callable[[], Any]] = {
        "olatkit": lambda: CineStream(path).read(0, count),
        "pycine-lite": lambda: read_pycine_lite(path, count),
        "pycine-lite, unpack only": lambda: unpack_pycine_lite(path, packing),
    }
    if packing == "p10":
        tasks["cine-handler"] = lambda: read_cine_handler(path)
    levels = (p10.BLACK_LEVEL, p10.WHITE_LEVEL) if packing == "p10" else (0, 4095)
    stretched = np.interp(np.arange(4096), levels, (0, 4095)).astype(np.uint16)[decoded]
    for name, task in tasks.items():
        if not np.array_equal(task(), stretched if name == "pycine-lite" else decoded):
            raise SystemExit(f"{packing}: {name} decodes other values")
    target = np.empty_like(decoded)
    tasks["memcpy"] = lambda: np.copyto(target, decoded)  # to memory that is already mapped: the lower bound
    tasks["memcpy to new memory"] = decoded.copy
    return tasks


def median_times_s(tasks: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median time of every task; one repeat runs all of them in turn, so that all see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for packing in ("p12l", "p10"):
            path = Path(folder) / f"{packing}.cine"
            write_take(path, packing, (height, width), arguments.frames)
            times = median_times_s(make_tasks(packing, path, arguments.frames), arguments.repeats)
            for name, seconds in times.items():
                ms = 1e3 * seconds / arguments.frames
                results.append(
                    {"packing": packing, "reader": name, "ms_per_frame": ms, "ratio": seconds / times["olatkit"]}
                )
    print(f"{arguments.frames} frames of {width}x{height}, median of {arguments.repeats}")
    print(f"{'packing':8} {'reader':25} {'ms/frame':>9} {'time / ours':>12}")
    for row in results:
        print(f"{row['packing']:8} {row['reader']:25} {row['ms_per_frame']:9.3f} {row['ratio']:12.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"size": [width, height], "frames": arguments.frames, "results": results}))


if __name__ == "__main__":
    main()
