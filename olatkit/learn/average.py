"""Averaged weights: what the network was over its last steps, steadier than what it is."""

import torch
from torch import Tensor, nn

from olatkit.learn.blocks import place
from olatkit.learn.network import RelightingNetwork

STATISTICS_EVERY = 5  # steps
NEWEST_SHARE = 0.03  # of one batch in the statistics


def make_average(network: RelightingNetwork) -> RelightingNetwork:
    """A copy of the network that takes no gradients, in evaluation mode."""
    device = next(network.parameters()).device
    copy = RelightingNetwork(**network.form)
    copy.load_state_dict(network.state_dict())
    place(copy, device)
    return copy.requires_grad_(False).eval()


@torch.no_grad()
def update_average(average: RelightingNetwork, network: RelightingNetwork, decay: float, step: int) -> None:
    """Move every averaged weight towards the network's: ``decay`` of the old one stays.

    In the first steps less stays, (1 + step) / (10 + step), so that the beginning is soon forgotten. Running
    statistics of batch normalisation stay: see :func:`update_statistics`.
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)


@torch.no_grad()
def update_statistics(average: RelightingNetwork, picture: Tensor, light: Tensor, step: int) -> None:
    """Let the averaged network see a batch (N, 3, H, W) under lightings (N, 3, 16, 16), at every fifth step.

    Its layers pass on other values than those of the network that is trained, so batch normalisation needs statistics
    of its own.
    """
    layers = [module for module in average.modules() if isinstance(module, nn.BatchNorm2d)]
    if not layers or step % STATISTICS_EVERY:
        return
    for layer in layers:
        layer.train()
        layer.momentum = max(NEWEST_SHARE, 1 / (1 + step // STATISTICS_EVERY))
    average(picture, light)
    average.eval()
