"""The few layers that the network is made of. Shapes are (batch, channels, height, width)."""

from typing import Literal

import torch
from torch import Tensor, nn

from olatkit.learn.variants import Activation

Norm = Literal["group", "batch", "none"]


class ConvBlock(nn.Module):
    """3x3 convolution, normalisation, activation; ``separable`` splits it into a depthwise and a pointwise one."""

    def __init__(
        self, inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3, norm: Norm = "group",
        activation: Activation | None = "prelu", separable: bool = False,
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        bias = norm == "none"
        if separable:
            self.depthwise: nn.Module = nn.Conv2d(
                inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False
            )
            self.conv = nn.Conv2d(inputs, outputs, 1, bias=bias)
        else:
            self.depthwise = nn.Identity()
            self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)
        self.norm = make_norm(norm, outputs)
        self.activation = make_activation(activation)
        self.kind = ", ".join(
            [f"{kernel}x{kernel}" + (" separable" if separable else "") + (f" s{stride}" if stride > 1 else "")]
            + ([f"{norm} norm"] if norm != "none" else []) + ([activation] if activation else [])
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(self.depthwise(x))))


class FullBlock(nn.Module):
    """Fully connected layer with activation, (batch, inputs) to (batch, outputs)."""

    def __init__(self, inputs: int, outputs: int, activation: Activation | None) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.linear = nn.Linear(inputs, outputs)
        self.activation = make_activation(activation)
        self.kind = f"full, {activation}" if activation else "full"

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.linear(x))


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Group normalisation of min(16, C/4) groups, batch normalisation, or nothing."""
    if norm == "none":
        return nn.Identity()
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(min(16, channels // 4), channels)


def make_activation(activation: Activation | None) -> nn.Module:
    """PReLU with one slope per layer, ReLU6, or nothing."""
    return {"prelu": nn.PReLU, "relu6": nn.ReLU6, None: nn.Identity}[activation]()


def place(module: nn.Module, device: torch.device | str) -> None:
    """Move a module's weights to a device, channels last in memory: convolutions are faster so."""
    module.to(device)
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def exact(x: Tensor) -> Tensor:
    """At least single precision: what follows is not for the half precision of mixed training."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def double(x: Tensor) -> Tensor:
    """Twice the resolution, bilinear; before a convolution this leaves no checkerboard."""
    return nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def join(*maps: Tensor) -> Tensor:
    """Concatenate along channels."""
    return torch.cat(maps, dim=1)


def tile(vector: Tensor, like: Tensor) -> Tensor:
    """Repeat (batch, channels) at every position of ``like``."""
    return vector[:, :, None, None].expand(-1, -1, *like.shape[2:])


def normalise(x: Tensor) -> Tensor:
    """Zero mean and unit variance per sample over all of (channels, height, width), without parameters."""
    return nn.functional.layer_norm(exact(x), x.shape[1:])
