"""Samples in closed form: a painted disc that slides, lit by the mean colour of its lighting; no shards needed."""

import numpy as np
import torch

from olatkit.color import encode_srgb
from olatkit.learn.sample import Sample, stack_samples
from olatkit.render.sampling import LightingSampler

SHIFT = (2, 1)  # whole pixels, right and down, from t to t + 1


def painted_batch(count: int, size: int, seed: int = 0) -> Sample:
    """A batch of ``count`` pairs of ``size`` px; the same seed, the same batch."""
    return stack_samples([painted_sample(size, seed * 1000 + n) for n in range(count)])


def painted_sample(size: int, seed: int) -> Sample:
    """A pair: waves of colour on a disc, which moves by ``SHIFT``; pictures are albedo times the light's mean colour."""
    rng = np.random.default_rng(seed)
    lights = _sampler().sample(rng, 1)
    light = np.concatenate([lights.light_i, lights.light_j, lights.light_k])
    frequency, phase = rng.uniform(2, 6, (3, 2)), rng.uniform(0, 2 * np.pi, 3)

    def paint(dx: float, dy: float) -> tuple[np.ndarray, np.ndarray]:
        y, x = (np.mgrid[:size, :size] + 0.5 - np.array([dy, dx])[:, None, None]) / size - 0.5
        mask = (x**2 + y**2 < 0.16).astype(float)
        waves = [0.35 + 0.15 * np.sin(2 * np.pi * (f[0] * x + f[1] * y) / 2 + p) for f, p in zip(frequency, phase)]
        return mask * np.array(waves), mask[None]

    frames = [paint(0, 0), paint(*SHIFT)]
    colour = light.mean(axis=(1, 2))
    masks = np.stack([mask for _, mask in frames])
    pictures = [
        np.stack([albedo * np.minimum(colour[which], 1.5)[:, None, None] for which, (albedo, _) in zip(pair, frames)])
        for pair in ((0, 1), (2, 2))
    ]
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
