"""The critic Φ_D: a DCGAN discriminator in Wasserstein form that looks at source, relit picture and lighting.

Layers after Radford et al., Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks, ICLR 2016; weight clipping and no last activation after Arjovsky et al., Wasserstein GAN, ICML 2017.
"""

import torch
from torch import Tensor, nn

from olatkit.learn.blocks import FullBlock, exact, join, tile

LIGHT_WIDTH = 64
# The last map before the score is this many pixels wide.
LAST_SIZE = 4


class Critic(nn.Module):
    """Scores how real a relit picture looks beside its source and its lighting; higher is more real.

    Parameters
    ----------
    widths : tuple of int
        Channels of the convolutions, each of which halves the picture. With n of them the critic takes pictures of
        4·2^n pixels, and of half of that: then the last convolution is left out.

    Notes
    -----
    The lighting enters where the last but one convolution starts, as an embedding of log(1 + L) repeated at every
    position. The scores have no unit; with weights clipped to ±0.01 they are as small as 1e-3 to 1e-1.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        if len(widths) < 3:
            raise ValueError(f"the critic has {len(widths)} convolutions, expected at least 3")
        self.widths = tuple(widths)
        self.light_level = len(widths) - 2
        self.light = FullBlock(3 * 16 * 16, LIGHT_WIDTH, None)
        inputs = 6
        self.levels = nn.ModuleList()
        for level, outputs in enumerate(widths):
            extra = LIGHT_WIDTH if level == self.light_level else 0
            self.levels.append(CriticBlock(inputs + extra, outputs, norm=level > 0))
            inputs = outputs
        # The map has as many channels before the last convolution as after it, so that it can be left out.
        if widths[-1] != widths[-2]:
            raise ValueError(f"the last two widths of the critic are {widths[-2]} and {widths[-1]}, expected equal ones")
        self.score = CriticBlock(inputs, 1, norm=False, last=True)
        self.apply(_dcgan_weights)

    @property
    def sizes(self) -> tuple[int, int]:
        """Sides of the pictures that the critic takes [px]: all convolutions, and one less."""
        return LAST_SIZE << len(self.widths), LAST_SIZE << (len(self.widths) - 1)

    def forward(self, source: Tensor, relit: Tensor, light: Tensor) -> Tensor:
        """Score pictures.

        Parameters
        ----------
        source, relit : tensor, shape (B, 3, S, S)
            Picture under its own light and under ``light``, both times the foreground mask, sRGB 0 to 1.
        light : tensor, shape (B, 3, 16, 16)
            Target lighting, radiance.

        Returns
        -------
        tensor, shape (B,), float32
        """
        size = source.shape[-1]
        if size not in self.sizes:
            raise ValueError(f"the critic got pictures of {size} px, expected {self.sizes[0]} or {self.sizes[1]}")
        embedded = self.light(torch.log1p(exact(light)).flatten(1))
        x = join(source, relit)
        for level, block in enumerate(self.levels[: None if size == self.sizes[0] else -1]):
            x = block(join(x, tile(embedded, like=x)) if level == self.light_level else x)
        # A score is a sum of thousands of small terms: not in half precision.
        with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):
            return self.score(exact(x)).flatten()

    @torch.no_grad()
    def clip_weights(self, limit: float) -> None:
        """Keep every parameter within ±limit, which bounds the critic's slope (it approximates a distance then)."""
        for parameter in self.parameters():
            parameter.clamp_(-limit, limit)


class CriticPasses(nn.Module):
    """Both passes of a critic step as one module: real and relit pictures go through in batches of their own."""

    def __init__(self, critic: Critic) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, source: Tensor, target: Tensor, relit: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B,) of the true and of the relit pictures."""
        return self.critic(source, target, light), self.critic(source, relit, light)


def critic_widths(size: int) -> tuple[int, ...]:
    """DCGAN's channels for pictures of ``size`` and half of it [px]; ValueError if no number of halvings ends at 4."""
    halvings = (size // LAST_SIZE).bit_length() - 1
    if halvings < 3 or LAST_SIZE << halvings != size:
        raise ValueError(f"no critic for pictures of {size} px, expected 32, 64, 128, 256, 512 ...")
    widths = [min(64 << level, 512) for level in range(halvings)]
    widths[-1] = widths[-2]
    return tuple(widths)


class CriticBlock(nn.Module):
    """4x4 convolution of stride 2, batch normalisation on all but the first, leaky ReLU; the last is bare."""

    def __init__(self, inputs: int, outputs: int, *, norm: bool = True, last: bool = False) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.conv = nn.Conv2d(inputs, outputs, 4, *((1, 0) if last else (2, 1)), bias=not norm)
        # The critic is only ever used in training, where the statistics are the batch's own: nothing to remember.
        self.norm = nn.BatchNorm2d(outputs, track_running_stats=False) if norm else nn.Identity()
        self.activation = nn.Identity() if last else nn.LeakyReLU(0.2)
        self.kind = "4x4" if last else "4x4 s2" + (", batch norm" if norm else "") + ", leaky relu"

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


def _dcgan_weights(module: nn.Module) -> None:
    """Normal weights of deviation 0.02, around 1 in normalisation."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
