"""The relighting network: Fig. 3 and Eq. 1 to 3 of Zhang et al., ICCV 2021, as code.

The encoder turns a picture into its own lighting, feature maps for skip connections, and a structure code with a
large field of view; the decoder turns a lighting, those feature maps and that code into a picture and a parsing. Put
another lighting in, and the picture comes out relit. Layer widths were not published; the ones of
:mod:`olatkit.learn.variants` are this project's. Single frames go in and out: no state, so a clip equals its frames.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from olatkit.learn.blocks import ConvBlock, FullBlock, Norm, double, exact, join, normalise, tile
from olatkit.learn.variants import STRIDE, VARIANTS, Activation, Variant, VariantNorm

LIGHT_SIZE = 16
LIGHT_PIXELS = LIGHT_SIZE * LIGHT_SIZE


class Encoding(NamedTuple):
    """Result of the encoder, Eq. 2: L̂ (B, 3, 16, 16) radiance; F0 ... F4; ê (B, C, H/64, W/64)."""

    light: Tensor
    skips: tuple[Tensor, ...]
    code: Tensor


class Decoding(NamedTuple):
    """Result of the decoder, Eq. 3: Î (B, 3, H, W) sRGB 0 to 1; P̂ as logits (B, K, H, W), None without parsing."""

    image: Tensor
    parsing: Tensor | None


class RelightingNetwork(nn.Module):
    """Φ: encoder Φ_enc and decoder Φ_dec.

    Parameters
    ----------
    variant : str
        A key of ``VARIANTS``.
    parsing_channels : int
        Classes K of the parsing head: 19, 1 (foreground), or 0 for none.
    activation : {"prelu", "relu6"}
        Between layers.
    norm : {"group", "batch"}, optional
        Normalisation in place of the variant's own.
    light_levels : bool, optional
        Whether the lighting scales and shifts every level of the decoder; the variant's own choice if None.

    Notes
    -----
    Pictures are sRGB encoded, 0 to 1, with sides that are multiples of 64. Lightings are linear radiance
    (B, 3, 16, 16), rows from the zenith to the nadir.
    """

    def __init__(
        self, variant: str, *, parsing_channels: int = 19, activation: Activation = "prelu",
        norm: VariantNorm | None = None, light_levels: bool | None = None,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"unknown variant '{variant}', expected one of {', '.join(VARIANTS)}")
        sizes = VARIANTS[variant]
        given: dict[str, Any] = {"norm": norm, "light_levels": light_levels}
        sizes = replace(sizes, **{name: value for name, value in given.items() if value is not None})
        self.variant, self.parsing_channels, self.activation = variant, parsing_channels, activation
        self.norm, self.light_levels = sizes.norm, sizes.light_levels
        self.encoder = Encoder(sizes, activation)
        self.decoder = Decoder(sizes, parsing_channels, activation)

    @property
    def form(self) -> dict[str, Any]:
        """What makes a network of the same layers: ``RelightingNetwork(**network.form)``."""
        names = ("variant", "parsing_channels", "activation", "norm", "light_levels")
        return {name: getattr(self, name) for name in names}

    def encode(self, image: Tensor) -> Encoding:
        """Eq. 2: L̂^i, F_t^i, ê_t = Φ_enc(I_t^i)."""
        height, width = image.shape[2:]
        if height % STRIDE or width % STRIDE:
            raise ValueError(f"pictures are {width}x{height}, expected sides that are multiples of {STRIDE}")
        return self.encoder(image)

    def decode(self, light: Tensor, skips: tuple[Tensor, ...], code: Tensor) -> Decoding:
        """Eq. 3: Î_t^i, P̂_t = Φ_dec(L̂^i, F_t^i, ê_t); with a known lighting in place of L̂ the relit picture Ĩ."""
        return self.decoder(light, skips, code)

    def forward(self, image: Tensor, light: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Eq. 1: Ĩ_t^k, L̂^i, P̂_t = Φ(I_t^i, L^k)."""
        own_light, skips, code = self.encode(image)
        relit, parsing = self.decode(light, skips, code)
        return relit, own_light, parsing


class Encoder(nn.Module):
    """Φ_enc: five levels of skips, a head for the lighting beside the last, and the structure code below it."""

    def __init__(self, variant: Variant, activation: Activation) -> None:
        super().__init__()
        w, code = variant.widths, variant.code
        self.E0 = Stem(variant, activation)
        self.E1 = _pair(w[0], w[1], variant, activation, level=1, stride=2)
        self.E2 = _pair(w[1], w[2], variant, activation, level=2, stride=2)
        self.E3 = _pair(w[2], w[3], variant, activation, level=3, stride=2)
        self.E4 = _pair(w[3], w[4], variant, activation, level=4, stride=2)
        self.LH = LightHead(variant, activation)
        self.E5 = _block(w[4], code, variant, activation, level=5, stride=2)
        self.E6 = _block(code, code, variant, activation, level=6, stride=2) if variant.code_steps == 2 else None
        # The code is normalised per sample instead: without this it could shrink to a constant under Eq. 5.
        self.E7 = _block(code, code, variant, None, level=7, norm="none")

    def forward(self, image: Tensor) -> Encoding:
        f0 = self.E0(image)
        f1 = self.E1(f0)
        f2 = self.E2(f1)
        f3 = self.E3(f2)
        f4 = self.E4(f3)
        light = self.LH(f4)
        code = self.E5(f4)
        if self.E6 is not None:
            code = self.E6(code)
        return Encoding(light, (f0, f1, f2, f3, f4), normalise(self.E7(code)))


class Decoder(nn.Module):
    """Φ_dec: the lighting joins the structure code, and every level on the way up joins its skip."""

    def __init__(self, variant: Variant, parsing_channels: int, activation: Activation) -> None:
        super().__init__()
        w, code, light = variant.widths, variant.code, variant.light
        self.LE1 = FullBlock(3 * LIGHT_PIXELS, light[0], activation)
        self.LE2 = FullBlock(light[0], light[1], activation)
        self.D6 = _block(code + light[1], code, variant, activation, level=6)
        self.D5 = _block(code, code, variant, activation, level=5) if variant.code_steps == 2 else None
        self.D4 = _pair(code + w[4], w[4], variant, activation, level=4)
        self.D3 = _pair(w[4] + w[3], w[3], variant, activation, level=3)
        self.D2 = _pair(w[3] + w[2], w[2], variant, activation, level=2)
        self.D1 = _pair(w[2] + w[1], w[1], variant, activation, level=1)
        self.D0 = _block(w[1] + w[0], w[0], variant, activation, level=0)
        self.heads = Heads(w[0], parsing_channels, variant.shuffle)
        self.LS = nn.ModuleList(_scale_and_shift(light[1], width) for width in w if variant.light_levels)

    def forward(self, light: Tensor, skips: tuple[Tensor, ...], code: Tensor) -> Decoding:
        f0, f1, f2, f3, f4 = skips
        embedded = self.LE2(self.LE1(torch.log1p(exact(light)).flatten(1)))
        x = self.D6(join(code, tile(embedded, like=code)))
        if self.D5 is not None:
            x = self.D5(double(x))
        x = self._lit(4, self.D4(join(double(x), f4)), embedded)
        x = self._lit(3, self.D3(join(double(x), f3)), embedded)
        x = self._lit(2, self.D2(join(double(x), f2)), embedded)
        x = self._lit(1, self.D1(join(double(x), f1)), embedded)
        x = self._lit(0, self.D0(join(double(x), f0)), embedded)
        return self.heads(x)

    def _lit(self, level: int, x: Tensor, embedded: Tensor) -> Tensor:
        """Scale and shift the channels of a level as the lighting says, if the variant wants that."""
        if not len(self.LS):
            return x
        scale, shift = self.LS[level](embedded)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class Stem(nn.Module):
    """E0: the picture itself beside a wide first convolution; or, shuffled, 2x2 pixels at once."""

    def __init__(self, variant: Variant, activation: Activation) -> None:
        super().__init__()
        self.shuffle, width = variant.shuffle, variant.widths[0]
        if self.shuffle == 1:
            self.conv = ConvBlock(3, width - 3, kernel=7, norm="none", activation=activation)
        else:
            self.conv = ConvBlock(3 * self.shuffle**2, width, norm=variant.norm, activation=activation)

    def forward(self, image: Tensor) -> Tensor:
        if self.shuffle == 1:
            return join(self.conv(image), image)
        return self.conv(nn.functional.pixel_unshuffle(image, self.shuffle))


class LightHead(nn.Module):
    """LH: every position predicts a whole lighting and, for each of its pixels, how much to believe it.

    ``L̂[q, c] = Σ_p conf[p, q] l[p, q, c] / (Σ_p conf[p, q] + 1e-6)`` over positions p, for the 256 pixels q (the
    confidence-weighted pooling of Sun et al., Single Image Portrait Relighting, SIGGRAPH 2019,
    doi:10.1145/3306346.3323008). No normalisation before the softplus, which would fix the mean.
    """

    def __init__(self, variant: Variant, activation: Activation) -> None:
        super().__init__()
        width = variant.widths[4]
        self.LH1 = _block(width, width, variant, activation, level=4)
        self.LH2 = ConvBlock(width, 4 * LIGHT_PIXELS, kernel=variant.light_kernel, norm="none", activation=None)

    def forward(self, f4: Tensor) -> Tensor:
        positive = nn.functional.softplus(exact(self.LH2(self.LH1(f4)))).flatten(2)
        light = positive[:, : 3 * LIGHT_PIXELS].unflatten(1, (3, LIGHT_PIXELS))
        confidence = positive[:, None, 3 * LIGHT_PIXELS :]
        pooled = (confidence * light).sum(-1) / (confidence.sum(-1) + 1e-6)
        return pooled.unflatten(2, (LIGHT_SIZE, LIGHT_SIZE))


class Heads(nn.Module):
    """The last layer: picture and parsing, each by its own 3x3 convolution."""

    def __init__(self, inputs: int, parsing_channels: int, shuffle: int) -> None:
        super().__init__()
        self.shuffle = shuffle
        self.rgb = ConvBlock(inputs, 3 * shuffle**2, norm="none", activation=None)
        # Labels need no fine texture: where 2x2 pixels leave at once, one position decides for them.
        kernel = 3 if shuffle == 1 else 1
        self.parsing = (
            ConvBlock(inputs, parsing_channels * shuffle**2, kernel=kernel, norm="none", activation=None)
            if parsing_channels else None
        )

    def forward(self, x: Tensor) -> Decoding:
        image = torch.sigmoid(nn.functional.pixel_shuffle(exact(self.rgb(x)), self.shuffle))
        if self.parsing is None:
            return Decoding(image, None)
        return Decoding(image, nn.functional.pixel_shuffle(exact(self.parsing(x)), self.shuffle))


def _block(
    inputs: int, outputs: int, variant: Variant, activation: Activation | None, *, level: int, stride: int = 1,
    norm: Norm | None = None,
) -> ConvBlock:
    """A convolution of one level: dense or separable as the variant says."""
    return ConvBlock(
        inputs, outputs, stride=stride, norm=norm or variant.norm, activation=activation,
        separable=level >= variant.dense_levels,
    )


def _scale_and_shift(light: int, width: int) -> FullBlock:
    """Factors less 1 and offsets for the channels of a level, from the embedded lighting; all zero in the beginning."""
    block = FullBlock(light, 2 * width, None)
    nn.init.zeros_(block.linear.weight)
    nn.init.zeros_(block.linear.bias)
    return block


def _pair(
    inputs: int, outputs: int, variant: Variant, activation: Activation, *, level: int, stride: int = 1
) -> nn.Sequential:
    """Two convolutions a and b of one level, the first with the stride."""
    pair = nn.Sequential()
    pair.add_module("a", _block(inputs, outputs, variant, activation, level=level, stride=stride))
    pair.add_module("b", _block(outputs, outputs, variant, activation, level=level))
    return pair
