"""The sizes in which the network comes: one frozen record each, read by encoder, decoder and the table of layers."""

from dataclasses import dataclass
from typing import Literal

Activation = Literal["prelu", "relu6"]
VariantNorm = Literal["group", "batch"]


@dataclass(frozen=True)
class Variant:
    """Widths and building blocks of one network.

    Parameters
    ----------
    widths : tuple of int
        Channels of the skips F0 ... F4, each at half the resolution of the one before.
    code : int
        Channels of the structure code ê.
    light : tuple of int
        Widths of the two fully connected layers that embed a lighting.
    shuffle : int
        The picture enters as ``shuffle`` x ``shuffle`` pixels per position and leaves the same way; 1: as it is.
    code_steps : int
        Halvings from F4 to ê; the code is 1/64 of the picture's side in every variant.
    dense_levels : int
        Levels, from F0, whose 3x3 convolutions are dense; deeper ones are depthwise-separable.
    light_kernel : int
        Kernel of the layer that predicts a lighting at every position.
    light_levels : bool
        The lighting also scales and shifts the channels of every level of the decoder (feature-wise linear modulation,
        Perez et al., AAAI 2018, arXiv:1709.07871). Light multiplies what it falls on, which layers that add learn
        slowly: docs/results.md. False: it joins the code alone, as the paper has it.
    norm : {"group", "batch"}
        Batch normalisation can be folded into convolutions, which phones and compilers like.
    """

    widths: tuple[int, int, int, int, int]
    code: int
    light: tuple[int, int]
    shuffle: int = 1
    code_steps: int = 2
    dense_levels: int = 8
    light_kernel: int = 3
    light_levels: bool = False
    norm: VariantNorm = "group"


# Sides of pictures must be multiples of this: the code is smaller by it.
STRIDE = 64

VARIANTS: dict[str, Variant] = {
    "base": Variant(widths=(32, 64, 128, 256, 512), code=512, light=(512, 256)),
    "small": Variant(widths=(32, 48, 96, 160, 256), code=256, light=(512, 256)),
    "lite": Variant(
        widths=(24, 48, 80, 128, 160), code=160, light=(256, 128), shuffle=2, code_steps=1, dense_levels=1,
        light_kernel=1, light_levels=True, norm="batch",
    ),
    "tiny": Variant(widths=(8, 16, 24, 32, 48), code=48, light=(64, 32)),
}

# Classes of the parsing head if the user does not say: tiny only tells foreground from background.
PARSING_CHANNELS = {"base": 19, "small": 19, "lite": 19, "tiny": 1}
