"""Speed of a training step, and how far it is from what the machine can multiply.

    python benchmarks/training.py [--device cuda] [--precision bf16] [--compile] [--steps 20]

One line per variant: pairs of frames per second with all losses on (2 encoder and 3 decoder passes on both frames,
forward and backward, critic included), multiplications per second as a share of this machine's fastest matrix product
of the same precision, and on a GPU the peak of its memory. Samples are random and already on the device, so nothing
waits for data: compare with `waiting` in a run's metrics.csv.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from olatkit.learn.config import TrainConfig
from olatkit.learn.critic import CriticPasses
from olatkit.learn.distributed import Ranks, join_ranks
from olatkit.learn.passes import PairPasses
from olatkit.learn.sample import Sample
from olatkit.learn.state import make_state
from olatkit.learn.train import train_critic, train_network

# Variant, side [px], pairs per batch.
CPU_CASES = (("tiny", 64, 4), ("lite", 128, 2), ("small", 128, 1), ("base", 128, 1))
GPU_CASES = (("tiny", 64, 64), ("lite", 256, 16), ("small", 256, 16), ("base", 256, 8), ("base", 512, 4))
WEIGHTS = dict.fromkeys(("basic", "latent", "parsing", "temporal", "adversarial"), 1.0)


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
    """Mean time of one call, after two for warming up."""
    for _ in range(2):
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


def measure(variant: str, size: int, batch: int, options: argparse.Namespace, ranks: Ranks) -> tuple[float, float, float]:
    """Pairs per second, operations per second, peak of a GPU's memory [GiB]."""
    config = TrainConfig.model_validate({
        "variant": variant, "precision": options.precision, "stages": [{"size": size, "batch": batch, "share": 1}],
    })
    state = make_state(config, ranks.device)
    assert state.critic is not None
    passes, critic = PairPasses(state.network, config.losses), CriticPasses(state.critic)
    sample = random_batch(batch, size, ranks.device)

    def step() -> None:
        if len(state.memory):
            train_critic(state, critic, config)
        train_network(state, passes, [sample], WEIGHTS, config, ranks)
        state.optimizer.step()

    step()
    if ranks.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(ranks.device)
    with FlopCounterMode(display=False) as counter:
        step()
    if options.compile:  # after counting, which does not look into compiled code
        state.network.encoder.compile()
        state.network.decoder.compile()
    seconds = seconds_of(step, options.steps, ranks.device)
    peak = torch.cuda.max_memory_allocated(ranks.device) / 2**30 if ranks.device.type == "cuda" else 0.0
    return batch / seconds, counter.get_total_flops() / seconds, peak


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--variants", nargs="*", help="only these")
    chosen = parser.parse_args()
    with join_ranks(chosen.device) as alone:
        on_gpu = alone.device.type == "cuda"
        bound = fastest_product(alone.device, torch.bfloat16 if chosen.precision == "bf16" else torch.float32)
        print(f"{alone.device}, {chosen.precision}, fastest matrix product {bound / 1e12:.3g} TFLOP/s")
        print("variant  size  batch  pairs/s  TFLOP/s  of the bound" + ("  GiB" if on_gpu else ""))
        for name, side, count in GPU_CASES if on_gpu else CPU_CASES:
            if chosen.variants and name not in chosen.variants:
                continue
            pairs, operations, memory = measure(name, side, count, chosen, alone)
            line = f"{name:<7} {side:>5} {count:>6} {pairs:>8.3g} {operations / 1e12:>8.3g} {operations / bound:>13.1%}"
            print(line + (f" {memory:>4.1f}" if on_gpu else ""))
