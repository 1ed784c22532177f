"""Speed and memory of a training step, and how far it is from what the machine can multiply.

    python benchmarks/training.py [--device cuda] [--precision bf16] [--compile] [--steps 20] [--variants tiny lite]

One line per variant, each in a process of its own. `pairs/s` counts whole steps with all losses on (2 encoder and 3
decoder passes on both frames of a pair, forward and backward, the critic's five steps, RMSprop). `forward + backward`
is the network's part of it alone, as floating-point operations per second and as a share of this machine's fastest
matrix product of the same precision. `GiB` is the peak of memory, on a CPU that of the process above what it held before
the first step; `GPU` how busy the GPU was. Samples are random and already on the device, so nothing waits for data:
benchmarks/training_data.py measures that.
"""

import argparse
import multiprocessing
import resource
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from olatkit.learn.config import TrainConfig
from olatkit.learn.critic import CriticPasses
from olatkit.learn.distributed import join_ranks
from olatkit.learn.passes import PairPasses
from olatkit.learn.sample import Sample
from olatkit.learn.state import make_state
from olatkit.learn.train import train_critic, train_network

# Variant, side [px], pairs per batch.
CPU_CASES = (("tiny", 64, 4), ("lite", 128, 2), ("small", 128, 1), ("base", 128, 1))
GPU_CASES = (("tiny", 64, 64), ("lite", 256, 16), ("small", 256, 16), ("base", 256, 8), ("base", 512, 4))
WEIGHTS = dict.fromkeys(("basic", "latent", "parsing", "temporal", "adversarial"), 1.0)


@dataclass(frozen=True)
class Measured:
    """Time of a whole step and of its forward and backward passes [s], operations of the latter, peak memory [GiB],
    busy time of the GPU [%]; None where there is none."""

    step_s: float
    passes_s: float
    operations: float
    memory: float
    busy: float | None


def random_batch(count: int, size: int, device: torch.device) -> Sample:
    """Noise of the right shapes."""
    def noise(*shape: int) -> torch.Tensor:
        return torch.rand(count, *shape, device=device)

    labels = (19 * noise(2, size, size)).to(torch.uint8)
    return Sample(
        input_srgb=noise(2, 3, size, size), clean_srgb=noise(2, 3, size, size), target_srgb=noise(2, 3, size, size),
        full_srgb=noise(2, 3, size, size), labels=labels, mask=(labels > 0).float()[:, :, None],
        flow=4 * noise(2, 2, size, size) - 2, occluded=(noise(2, 1, size, size) < 0.05).float(),
        input_light=noise(2, 3, 16, 16), target_light=noise(3, 16, 16), pair=torch.zeros(count, dtype=torch.int64),
    )


def seconds_of(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Mean time of one call, after one for warming up."""
    work()
    wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    wait(device)
    return (time.perf_counter() - start) / repeats


def wait(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def fastest_product(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large square matrix product."""
    n = 8192 if device.type == "cuda" else 2048
    a, b = (torch.rand(n, n, device=device).to(dtype) for _ in range(2))
    return 2 * n**3 / seconds_of(lambda: a @ b, 5, device)


def peak_memory(device: torch.device) -> float:
    """The most memory so far [GiB]: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@contextmanager
def watched_gpu(device: torch.device) -> Iterator[list[float]]:
    """Readings of how busy the GPU is [%], some per second; none on a CPU or without nvidia-smi."""
    readings: list[float] = []
    done = threading.Event()
    query = ["nvidia-smi", f"--id={device.index or 0}", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]

    def watch() -> None:
        while not done.wait(0.2):
            said = subprocess.run(query, check=True, capture_output=True, text=True).stdout
            readings.append(float(said))

    watcher = threading.Thread(target=watch)
    if device.type == "cuda" and shutil.which(query[0]):
        watcher.start()
    try:
        yield readings
    finally:
        done.set()
        if watcher.is_alive():
            watcher.join()


def measure(variant: str, size: int, batch: int, options: argparse.Namespace) -> Measured:
    """Steps of one variant; run in a process of its own, so that memory is that of this variant."""
    config = TrainConfig.model_validate({
        "variant": variant, "precision": options.precision, "stages": [{"size": size, "batch": batch, "share": 1}],
    })
    with join_ranks(options.device) as ranks:
        device = ranks.device
        before = peak_memory(device) if device.type == "cpu" else 0.0
        state = make_state(config, device)
        assert state.critic is not None
        passes, critic = PairPasses(state.network, config.losses), CriticPasses(state.critic)
        sample = random_batch(batch, size, device)

        def forward_and_backward() -> None:
            train_network(state, passes, [sample], WEIGHTS, config, ranks)

        def step() -> None:
            train_critic(state, critic, config)
            forward_and_backward()
            state.optimizer.step()

        with FlopCounterMode(display=False) as counter:
            forward_and_backward()  # leaves a batch for the critic
        if options.compile:  # after counting, which does not look into compiled code
            state.network.encoder.compile()
            state.network.decoder.compile()
        passes_s = seconds_of(forward_and_backward, options.steps, device)
        with watched_gpu(device) as readings:
            step_s = seconds_of(step, options.steps, device)
        busy = sum(readings) / len(readings) if readings else None
        return Measured(step_s, passes_s, counter.get_total_flops(), peak_memory(device) - before, busy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--variants", nargs="*", help="only these")
    options = parser.parse_args()
    with join_ranks(options.device) as ranks:
        device = ranks.device
    bound = fastest_product(device, torch.bfloat16 if options.precision == "bf16" else torch.float32)
    compiled = ", compiled" if options.compile else ""
    print(f"{device}, {options.precision}{compiled}, fastest matrix product {bound / 1e12:.3g} TFLOP/s")
    print("                      whole step          forward + backward")
    print("variant  size  batch  pairs/s       s     s  TFLOP/s  of the bound   GiB   GPU")
    for name, side, count in GPU_CASES if device.type == "cuda" else CPU_CASES:
        if options.variants and name not in options.variants:
            continue
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(measure, (name, side, count, options))
        rate = found.operations / found.passes_s
        busy = "-" if found.busy is None else f"{found.busy:.0f} %"
        print(
            f"{name:<7} {side:>5} {count:>6} {count / found.step_s:>8.3g} {found.step_s:>7.3g} {found.passes_s:>5.3g} "
            f"{rate / 1e12:>8.3g} {rate / bound:>13.1%} {found.memory:>5.1f} {busy:>5}", flush=True,
        )


if __name__ == "__main__":
    main()
