"""A network beside what costs nothing: the unchanged input, and the mean picture of the training subjects."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from olatkit.evaluate.metrics import measure_pictures
from olatkit.evaluate.pictures import Pictures
from olatkit.learn.network import RelightingNetwork

METRICS = ("rmse", "psnr", "ssim")
NETWORK, COPY, MEAN = "network", "copy input", "mean image"


@dataclass(frozen=True)
class Score:
    """One answer to one light pair: errors inside the mask, and which picture it was."""

    method: str
    subject: str
    imageset: int
    pair: int
    rmse: float
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation over pictures of one method, (mean, sd) by metric."""

    method: str
    count: int
    values: dict[str, tuple[float, float]]


def mean_picture(pictures: Iterable[Pictures]) -> Tensor:
    """The best constant answer: at every pixel the mean of the targets that show the subject there, (3, S, S) sRGB.

    Pixels where none does get the mean over all pixels of subjects.
    """
    total, weight = torch.zeros(0), torch.zeros(0)
    for some in pictures:
        if not total.numel():
            total, weight = torch.zeros_like(some.target[0]), torch.zeros_like(some.mask[0])
        total += (some.mask * some.target).sum(0)
        weight += some.mask.sum(0)
    everywhere = total.sum((1, 2)) / weight.sum()
    return torch.where(weight > 0, total / weight.clamp_min(1e-9), everywhere[:, None, None])


@torch.no_grad()
def answers(network: RelightingNetwork, pictures: Pictures, mean: Tensor) -> dict[str, Tensor]:
    """What every method makes of the source pictures, (K, 3, S, S) each."""
    device = next(network.parameters()).device
    relit = network(pictures.source.to(device), pictures.light.to(device))[0].float().cpu()
    return {NETWORK: relit, COPY: pictures.source, MEAN: mean.expand_as(pictures.target)}


def score_pictures(
    network: RelightingNetwork, pictures: Iterable[Pictures], mean: Tensor,
    look: Callable[[Pictures, dict[str, Tensor]], None] | None = None,
) -> Iterator[Score]:
    """Scores of every method on every light pair; ``look`` is shown the pictures on the way."""
    for some in pictures:
        made = answers(network, some, mean)
        if look is not None:
            look(some, made)
        for method, relit in made.items():
            values = measure_pictures(relit, some.target, some.mask)
            for pair in range(len(relit)):
                numbers = {name: float(values[name][pair]) for name in METRICS}
                yield Score(method, some.subject, some.imageset, pair, **numbers)


def summarise(scores: Iterable[Score]) -> tuple[Summary, ...]:
    """Means over pictures, of every picture its own error first, then the mean; the order is that of appearance."""
    by_method: dict[str, list[Score]] = {}
    for score in scores:
        by_method.setdefault(score.method, []).append(score)
    return tuple(
        Summary(method, len(some), {name: _mean_sd([getattr(s, name) for s in some]) for name in METRICS})
        for method, some in by_method.items()
    )


def _mean_sd(values: list[float]) -> tuple[float, float]:
    """Mean and sample standard deviation, 0 for one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
