"""Errors of pictures and lights while training; nothing here passes gradients on."""

from collections.abc import Sequence

import torch
from torch import Tensor

from olatkit.learn.losses import light_distance, temporal_floor
from olatkit.learn.network import RelightingNetwork
from olatkit.learn.passes import Passes
from olatkit.learn.sample import Sample


@torch.no_grad()
def masked_rmse(mask: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Root mean square difference of pictures (N, 3, S, S) over their masks (N, 1, S, S), shape (N,); clipped to [0, 1]."""
    squared = mask * (first.clamp(0, 1) - second.clamp(0, 1)) ** 2
    return (squared.sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3))).clamp_min(1)).sqrt()


def psnr(rmse: Tensor) -> Tensor:
    """Peak signal to noise ratio [dB] of errors of pictures from 0 to 1, at most 120."""
    return -20 * torch.log10(rmse.clamp_min(1e-6))


@torch.no_grad()
def measure_passes(passes: Passes, sample: Sample) -> dict[str, Tensor]:
    """What to watch beside the losses, each of shape ().

    ``psnr`` of the relit pictures [dB]; ``light_error`` of the predicted lights, as in Eq. 4; ``code_spread``, the
    variance of the structure code between the samples of the batch, which nears 0 if the code becomes a constant;
    ``temporal_floor``, what the true pictures would have in the first two terms of Eq. 8.
    """
    mask, target = sample.mask.flatten(0, 1), sample.target_srgb.flatten(0, 1)
    values = {
        "psnr": psnr(masked_rmse(mask, passes.relit, target)).mean(),
        "light_error": light_distance(sample.input_light.flatten(0, 1), passes.light),
        "temporal_floor": temporal_floor(sample.target_srgb, sample.mask, sample.flow, sample.occluded),
    }
    codes = passes.code[::2]
    if len(codes) > 1:
        values["code_spread"] = codes.var(dim=0).mean()
    return values


@torch.no_grad()
def validate(network: RelightingNetwork, batches: Sequence[Sample]) -> dict[str, float]:
    """Errors on held-out pairs, means over pictures: ``val_rmse``, ``val_psnr``, and of the unchanged input."""
    errors, copied = [], []
    for sample in batches:
        mask, target, source = (x.flatten(0, 1) for x in (sample.mask, sample.target_srgb, sample.input_srgb))
        relit, _, _ = network(source, sample.target_light.repeat_interleave(2, dim=0))
        errors.append(masked_rmse(mask, relit, target))
        copied.append(masked_rmse(mask, source, target))
    rmse, copy_rmse = torch.cat(errors), torch.cat(copied)
    return {
        "val_rmse": rmse.mean().item(), "val_psnr": psnr(rmse).mean().item(),
        "val_copy_psnr": psnr(copy_rmse).mean().item(),
    }
