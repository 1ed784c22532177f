"""The OLAT sum against what users write, against reading its bytes, and against the machine's matrix products.

All ratios come from one run: every task is repeated in turn, so that all see the same machine, and the shortest time
of each is taken. One imageset of random values; the weights have three channels.

    python benchmarks/relight.py [--lights 114] [--size 512] [--repeats 9] [--json PATH]

Read one lighting against 'read': the images are read from memory once, by as many threads. 'from codes' is the sum of
the 12-bit codes in which takes are stored, half as many bytes. Read batches against
'sgemm', NumPy's product of (K, L) with (L, 3P), which leaves the colours out, and against the rate of a large square
product, which is the machine's peak. 'write' only fills fresh memory of the size of the result, as every batch has to
on top of its product and of reading the images; 'reused' and 'sgemm-reused' put their results into memory that is there
already (``out=``). bfloat16 goes through torch and is timed only where the processor
multiplies it faster than float32; its error is that of the relit values.
With a CUDA device the sums are timed there too, beside one reading of the images from the device's memory.
"""

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import olatkit
from olatkit.color import to_srgb8
from olatkit.render.basis import LightingBasis
from olatkit.render.relight import in_threads

BATCHES = (4, 16, 64)
# Between tasks [s]: the threads of NumPy's library wait busily for a while after a product, and would delay the next task.
PAUSE_S = 0.1
SQUARE = 1536


def shortest_times_s(tasks: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Shortest time of every task; one repeat runs all of them in turn."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats + 1):
        for name, task in tasks.items():
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            task()
            times[name].append(time.perf_counter() - start)
    return {name: min(values[1:]) for name, values in times.items()}  # the first time compiles and allocates


def read_bytes(images: np.ndarray, pool: ThreadPoolExecutor) -> None:
    """Add all values up, in the threads of the pool."""
    parts = np.array_split(images.reshape(-1), 8)
    list(pool.map(np.sum, parts))


def one_lighting(images: np.ndarray, weights: np.ndarray, repeats: int) -> dict[str, float]:
    """Times of one lighting, ours and others'."""
    one = weights[0]
    coded = LightingBasis(images, precision="sqrt12")
    with ThreadPoolExecutor() as pool:
        return shortest_times_s({
            "olatkit.relight": lambda: olatkit.relight(images, one),
            "the same, from codes": lambda: coded.relight(one),
            "read": lambda: read_bytes(images, pool),
            "broadcast and sum": lambda: (one[:, None, None, :] * images).sum(axis=0),
            "np.einsum": lambda: np.einsum("lhwc,lc->hwc", images, one),
        }, repeats)


def batches(images: np.ndarray, weights: np.ndarray, repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """Times of batches, and of large square products; in one run."""
    import torch

    flat = images.reshape(len(images), -1)
    square = np.random.default_rng(1).random((SQUARE, SQUARE), dtype=np.float32)
    product = square @ square
    rough = torch.from_numpy(square).bfloat16()
    products: dict[str, Callable[[], Any]] = {
        "float32": lambda: np.matmul(square, square, out=product),
        "bfloat16": lambda: rough @ rough,
    }
    trial = shortest_times_s(products, 1)
    if trial["bfloat16"] > trial["float32"]:  # emulated: no matrix unit for it
        del products["bfloat16"]
    basis = LightingBasis(images, precision="bfloat16") if "bfloat16" in products else None
    pixels = images[0].size
    memory = np.zeros((max(BATCHES), *images.shape[1:]), np.float32)
    tasks = {f"{name} peak": product for name, product in products.items()}
    for count in BATCHES:
        batch = weights[:count]
        plain = np.ascontiguousarray(batch[:, :, 0])
        tasks[f"{count} float32"] = lambda batch=batch: olatkit.relight(images, batch)
        place = memory[:count]
        rows = place.reshape(count, -1)
        tasks[f"{count} reused"] = lambda batch=batch, place=place: olatkit.relight(images, batch, out=place)
        tasks[f"{count} sgemm"] = lambda plain=plain: plain @ flat
        tasks[f"{count} sgemm-reused"] = lambda plain=plain, rows=rows: np.matmul(plain, flat, out=rows)
        tasks[f"{count} write"] = lambda count=count: write_result(count * pixels)
        if basis is not None:
            tasks[f"{count} bfloat16"] = lambda batch=batch, basis=basis: basis.relight(batch)
    times = shortest_times_s(tasks, repeats)
    return times, {name: 2 * SQUARE**3 / times.pop(f"{name} peak") for name in products}


def write_result(values: int) -> None:
    """Fill fresh memory, in the threads that a batch has."""
    out = np.empty(values, np.float32)
    in_threads(lambda start, stop: out[start:stop].fill(1), values, 1 << 20)


def bfloat16_error(images: np.ndarray, weights: np.ndarray) -> tuple[float, int]:
    """Relative error (rms) of bfloat16, and the largest one in sRGB codes of 8 bits."""
    exact = olatkit.relight(images, weights)
    rough = LightingBasis(images, precision="bfloat16").relight(weights)
    scale = 0.5 / exact.mean()
    codes = np.abs(to_srgb8(rough * scale).astype(int) - to_srgb8(exact * scale))
    return float(np.sqrt(np.mean((rough / exact - 1) ** 2))), int(codes.max())


def on_cuda(images: np.ndarray, weights: np.ndarray, repeats: int) -> dict[str, float] | None:
    """Times on a CUDA device with the images already there; None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    bases = {name: LightingBasis(images, device="cuda", precision=name) for name in ("float32", "bfloat16")}
    stack = torch.from_numpy(images).to("cuda")

    def wait(task: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> None:
            for _ in range(20):
                task()
            torch.cuda.synchronize()

        return run

    tasks = {"read": wait(stack.sum)}
    for name, basis in bases.items():
        for count in (1, *BATCHES):
            batch = weights[0] if count == 1 else weights[:count]
            tasks[f"{count} {name}"] = wait(lambda basis=basis, batch=batch: basis.relight_on_device(batch))
    return {name: seconds / 20 for name, seconds in shortest_times_s(tasks, repeats).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lights", type=int, default=114)
    parser.add_argument("--size", type=int, default=512, help="pixels of a side")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path, help="also write the results here")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    images = rng.random((given.lights, given.size, given.size, 3), dtype=np.float32)
    weights = rng.random((max(BATCHES), given.lights, 3), dtype=np.float32)
    print(f"{given.lights} x {given.size} x {given.size}, {images.nbytes / 1e6:.0f} MB, shortest of {given.repeats}")

    single = one_lighting(images, weights, given.repeats)
    print(f"\n{'one lighting':22}{'ms':>9}{'time / ours':>13}")
    for name, seconds in single.items():
        print(f"{name:22}{1e3 * seconds:9.2f}{seconds / single['olatkit.relight']:13.2f}")

    times, peaks = batches(images, weights, given.repeats)
    work = 2 * images.size
    print(f"\n{'batch':18}{'ms':>9}{'ms each':>9}{'Gflop/s':>9}{'of peak':>9}{'time / sgemm':>14}")
    for name, seconds in times.items():
        count, kind = name.split()
        rate, peak = int(count) * work / seconds, peaks["bfloat16" if kind == "bfloat16" else "float32"]
        sgemm = seconds / times[f"{count} sgemm"]
        times_ms = f"{1e3 * seconds:9.1f}{1e3 * seconds / int(count):9.2f}"
        if kind == "write":
            print(f"{name:18}{times_ms}")
            continue
        print(f"{name:18}{times_ms}{rate / 1e9:9.0f}{rate / peak:9.2f}{sgemm:14.2f}")
    print("peak: " + ", ".join(f"{name} {peak / 1e9:.0f} Gflop/s" for name, peak in peaks.items()))
    if "bfloat16" not in peaks:
        print("bfloat16 is slower than float32 on this processor, and not timed")
    rms, codes = bfloat16_error(images[:, :64], weights[:16])
    print(f"bfloat16 errs by {100 * rms:.2f} % (rms), at most {codes} of 255 sRGB codes")

    device = on_cuda(images, weights, given.repeats)
    if device is None:
        print("\nno CUDA device")
    else:
        print(f"\n{'on the CUDA device':22}{'ms':>9}{'ms each':>10}{'time / read':>13}")
        for name, seconds in device.items():
            count = 1 if name == "read" else int(name.split()[0])
            print(f"{name:22}{1e3 * seconds:9.3f}{1e3 * seconds / count:10.4f}{seconds / device['read']:13.2f}")
    if given.json:
        results = {"one": single, "batches": times, "peaks": peaks, "bfloat16_rms": rms, "cuda": device}
        given.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
