"""Averaged weights: what the network was over its last steps, steadier than what it is."""

import torch

from olatkit.learn.blocks import place
from olatkit.learn.network import RelightingNetwork


def make_average(network: RelightingNetwork) -> RelightingNetwork:
    """A copy of the network that takes no gradients, in evaluation mode."""
    device = next(network.parameters()).device
    copy = RelightingNetwork(
        network.variant, parsing_channels=network.parsing_channels, activation=network.activation
    )
    copy.load_state_dict(network.state_dict())
    place(copy, device)
    return copy.requires_grad_(False).eval()


@torch.no_grad()
def update_average(average: RelightingNetwork, network: RelightingNetwork, decay: float, step: int) -> None:
    """Move every averaged weight towards the network's: ``decay`` of the old one stays.

    In the first steps less stays, (1 + step) / (10 + step), so that the beginning is soon forgotten. Running
    statistics of batch normalisation are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)
