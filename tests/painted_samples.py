"""Samples in closed form: a painted disc that slides, lit by the mean colour of its lighting; no shards needed."""

import itertools
from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import torch

from olatkit.color import encode_srgb
from olatkit.learn.config import TrainConfig
from olatkit.learn.sample import Sample, stack_samples
from olatkit.learn.schedule import Stage
from olatkit.render.sampling import LightingSampler

SHIFT = (2, 1)  # whole pixels, right and down, from t to t + 1


def painted_batch(count: int, size: int, seed: int = 0) -> Sample:
    """A batch of ``count`` pairs of ``size`` px; the same seed, the same batch."""
    return stack_samples([painted_sample(size, seed * 1000 + n) for n in range(count)])


def painted_batches(stage: Stage, pairs: int, rank: int = 0, world: int = 1) -> Iterator[Sample]:
    """Endless batches for a training: every batch is new, and the batches of all ranks together are the same for any
    number of them."""
    for step in itertools.count(pairs // stage.batch):
        first = (step * world + rank) * stage.batch
        yield stack_samples([painted_sample(stage.size, first + n) for n in range(stage.batch)])


def in_double(sample: Sample) -> Sample:
    """The same sample in double precision."""
    values = {f.name: getattr(sample, f.name) for f in fields(sample)}
    return Sample(**{name: v.double() if v.is_floating_point() else v for name, v in values.items()})


def tiny_config(**settings: object) -> TrainConfig:
    """Settings of a training of `tiny` that takes a second, with everything on."""
    defaults: dict[str, object] = {
        "variant": "tiny", "steps": 4, "stages": [{"size": 64, "batch": 1, "share": 1}],
        "critic": {"widths": [8, 8, 8, 8], "steps": 2, "memory": 2}, "losses": {"warm_up": 0},
        "report": {"metrics_every": 1, "checkpoint_every": 2, "pictures_every": 100, "tensorboard": False},
    }
    return TrainConfig.model_validate(defaults | settings)


def painted_sample(size: int, seed: int) -> Sample:
    """A pair: waves of colour on a disc, which moves by ``SHIFT``; pictures are albedo times the light's mean colour."""
    rng = np.random.default_rng(seed)
    lights = _sampler().sample(rng, 1)
    light = np.concatenate([lights.light_i, lights.light_j, lights.light_k])
    frequency, phase = rng.uniform(2, 6, (3, 2)), rng.uniform(0, 2 * np.pi, 3)

    def paint(dx: float, dy: float) -> tuple[np.ndarray, np.ndarray]:
        y, x = (np.mgrid[:size, :size] + 0.5 - np.array([dy, dx])[:, None, None]) / size - 0.5
        mask = (x**2 + y**2 < 0.16).astype(float)
        waves = np.sin(np.pi * np.tensordot(frequency, np.stack([x, y]), 1) + phase[:, None, None])
        return mask * (0.35 + 0.15 * waves), mask[None]

    frames = [paint(0, 0), paint(*SHIFT)]
    colour = light.mean(axis=(1, 2))
    masks = np.stack([mask for _, mask in frames])
    albedos = np.stack([albedo for albedo, _ in frames])
    pictures = [albedos * np.minimum(colour[which], 1.5)[:, :, None, None] for which in ([0, 1], [2, 2])]
    flow = np.empty((2, 2, size, size))
    flow[0], flow[1] = np.array(SHIFT)[:, None, None], -np.array(SHIFT)[:, None, None]
    source, target = (_tensor(np.clip(encode_srgb(p), 0, 1)) for p in pictures)
    planes = _tensor(light).permute(0, 3, 1, 2).contiguous()
    return Sample(
        input_srgb=source, clean_srgb=source, target_srgb=target, full_srgb=target, mask=_tensor(masks),
        labels=torch.as_tensor(masks[:, 0].astype(np.uint8)), flow=_tensor(flow),
        occluded=torch.zeros(2, 1, size, size), input_light=planes[:2], target_light=planes[2],
        pair=torch.tensor(seed),
    )


def _sampler() -> LightingSampler:
    """Three made-up maps with a bright side each."""
    maps = np.full((3, 16, 16, 3), 0.3)
    for n in range(3):
        maps[n, 4:8, 5 * n : 5 * n + 4, n] = 5
    return LightingSampler(maps)


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32)
