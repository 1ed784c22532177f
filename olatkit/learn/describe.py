"""What a network is made of: every layer with its channels, resolution, parameters and multiplications."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from olatkit.learn.blocks import ConvBlock, FullBlock
from olatkit.learn.critic import Critic, CriticBlock
from olatkit.learn.network import LIGHT_SIZE, RelightingNetwork

Block = ConvBlock | FullBlock | CriticBlock


@dataclass(frozen=True)
class Layer:
    """One row of the table. ``size`` is the side of what it puts out [px]; ``macs`` multiply-adds for one picture."""

    part: str
    name: str
    kind: str
    inputs: int
    outputs: int
    size: int
    parameters: int
    macs: int


def without_storage() -> torch.device:
    """A context in which networks are made without weights: described in no time, whatever their size."""
    return torch.device("meta")


def describe_network(network: RelightingNetwork, size: int) -> tuple[Layer, ...]:
    """The layers of a network in the order in which they run, for one picture of side ``size`` [px].

    Nothing is computed: shapes are traced on a copy without storage, so this is quick for any variant and size.
    """
    with torch.device("meta"):
        meta = RelightingNetwork(**network.form).eval()
    with _recorded(meta) as layers:
        meta(_empty(3, size), _empty(3, LIGHT_SIZE))
    return tuple(layers)


def describe_critic(critic: Critic, size: int) -> tuple[Layer, ...]:
    """The layers of the critic for one pair of pictures of side ``size`` [px]."""
    with torch.device("meta"):
        meta = Critic(critic.widths).eval()
    with _recorded(meta) as layers:
        meta(_empty(3, size), _empty(3, size), _empty(3, LIGHT_SIZE))
    return tuple(layers)


def _empty(channels: int, size: int) -> Tensor:
    """A picture without storage."""
    return torch.empty(1, channels, size, size, device="meta")


@contextmanager
def _recorded(module: nn.Module) -> Iterator[list[Layer]]:
    """Record every block that runs: its own convolutions are counted by their output."""
    layers: list[Layer] = []
    macs: list[int] = []

    def count(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            macs.append(layer.weight.numel() * output.shape[2] * output.shape[3])
        elif isinstance(layer, nn.Linear):
            macs.append(layer.weight.numel())

    def record(name: str, block: Block, output: Tensor) -> None:
        layers.append(Layer(
            name.partition(".")[0] if isinstance(module, RelightingNetwork) else "critic", _short(name), block.kind,
            block.inputs, block.outputs, output.shape[2] if output.ndim == 4 else 1,
            sum(p.numel() for p in block.parameters()), sum(macs),
        ))
        macs.clear()

    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for name, block in module.named_modules():
        if isinstance(block, Block):
            hooks.append(block.register_forward_hook(lambda b, _i, out, name=name: record(name, b, out)))
    try:
        yield layers
    finally:
        for hook in hooks:
            hook.remove()


def _short(name: str) -> str:
    """A module's path as the name of a layer: encoder.E1.a is E1a, decoder.LS.0 is LS0, the critic's levels.0 is C1."""
    first, _, number = name.partition(".")
    if first == "levels":
        return f"C{int(number) + 1}"
    return "".join(part for part in name.split(".") if part not in ("encoder", "decoder", "LH", "heads", "conv"))
