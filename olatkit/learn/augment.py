"""Augmentation of a pair: one crop, scale and flip for both instants, and what a camera adds to the inputs.

Pictures are rendered first and augmented after. Flow is cropped and resized like a picture and then scaled with it;
occlusion is found anew from the result, so that warping augmented pictures is augmenting warped ones.
"""

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from olatkit.learn.warp import warp_to_other

# Classes of CelebAMask-HQ whose left and right change places in a mirrored picture.
MIRRORED_CLASSES = ((2, 3), (4, 5), (7, 8))


class AugmentConfig(BaseModel):
    """How pairs are varied; inputs alone get rounding, noise and JPEG."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    crop: tuple[float, float] = Field((0.5, 1.0), description="side of the crop as a share of the picture's; 1, 1: none")
    least_mask: float = Field(0.25, ge=0, le=1, description="share of the subject that a crop must keep")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a mirrored pair, with mirrored light")
    noise: float = Field(0.3, ge=0, le=1, description="probability of sensor noise on the inputs")
    full_well: tuple[float, float] = Field(
        (1000.0, 20000.0), description="electrons at display white, drawn evenly in the logarithm"
    )
    read_noise_e: float = Field(5.0, ge=0, description="electrons")
    jpeg: float = Field(0.3, ge=0, le=1, description="probability of JPEG errors on the inputs")
    jpeg_quality: tuple[int, int] = Field((60, 95), description="range of its quality")
    rounding: float = Field(0.5, ge=0, le=1, description="probability that inputs are rounded to 8 bits")

    def model_post_init(self, _context: object) -> None:
        if not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise ValueError(f"crop is {self.crop}, expected a range within 0 to 1")
        if not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100:
            raise ValueError(f"jpeg_quality is {self.jpeg_quality}, expected a range within 1 to 100")
        if not 0 < self.full_well[0] <= self.full_well[1]:
            raise ValueError(f"full_well is {self.full_well}, expected a range above 0")


NO_AUGMENTATION = AugmentConfig(crop=(1.0, 1.0), flip=0.0, noise=0.0, jpeg=0.0, rounding=0.0)


@dataclass(frozen=True)
class View:
    """How one sample looks at its pair.

    ``top``, ``left``, ``side`` [px] are the crop; ``flip`` mirrors it. ``full_well`` [electrons at display white], 0
    for no noise, ``read_noise_e``, ``jpeg`` quality, 0 for none, and ``rounding`` to 8 bits are for the inputs;
    ``seed`` decides the noise.
    """

    top: int
    left: int
    side: int
    flip: bool = False
    full_well: float = 0.0
    read_noise_e: float = 0.0
    jpeg: int = 0
    rounding: bool = False
    seed: int = 0

    @property
    def degrades(self) -> bool:
        """True if anything is added to the inputs."""
        return bool(self.full_well or self.jpeg or self.rounding)


def draw_view(rng: np.random.Generator, mask: np.ndarray, config: AugmentConfig, crop_from: View | None = None) -> View:
    """Draw a view of a pair.

    Parameters
    ----------
    rng : Generator
        Decides everything; always the same number of draws is taken from it.
    mask : ndarray of bool, shape (S, S)
        The subject at t.
    config : AugmentConfig
        The distributions.
    crop_from : View, optional
        Take over its crop instead of drawing one.
    """
    top, left, side = _draw_crop(np.random.default_rng(rng.integers(2**63)), mask, config)
    flip, noise, jpeg, rounding = rng.random(4)
    low, high = np.log(config.full_well)
    full_well, quality = float(np.exp(rng.uniform(low, high))), int(rng.integers(*config.jpeg_quality, endpoint=True))
    if crop_from is not None:
        top, left, side = crop_from.top, crop_from.left, crop_from.side
    return View(
        top, left, side, bool(flip < config.flip), full_well if noise < config.noise else 0.0, config.read_noise_e,
        quality if jpeg < config.jpeg else 0, bool(rounding < config.rounding), int(rng.integers(2**62)),
    )


def _draw_crop(rng: np.random.Generator, mask: np.ndarray, config: AugmentConfig) -> tuple[int, int, int]:
    """Top, left and side of a crop that keeps enough of the mask; the whole picture after twenty failures."""
    size = mask.shape[0]
    if config.crop == (1.0, 1.0):
        return 0, 0, size
    wanted = config.least_mask * mask.sum()
    for _ in range(20):
        side = min(size, max(1, round(rng.uniform(*config.crop) * size)))
        top, left = (int(v) for v in rng.integers(0, size - side, 2, endpoint=True))
        if mask[top : top + side, left : left + side].sum() >= wanted:
            return top, left, side
    return 0, 0, size


def view_pictures(pictures: Tensor, view: View, size: int) -> Tensor:
    """Crop, resize and mirror pictures (..., H, W): bilinear, averaged over the area where they become smaller."""
    cut = pictures[..., view.top : view.top + view.side, view.left : view.left + view.side]
    if view.side != size:
        flat = cut.reshape(-1, 1, view.side, view.side)
        flat = torch.nn.functional.interpolate(
            flat, (size, size), mode="bilinear", align_corners=False, antialias=size < view.side
        )
        cut = flat.reshape(*cut.shape[:-2], size, size)
    return cut.flip(-1) if view.flip else cut


def view_labels(labels: Tensor, view: View, size: int) -> Tensor:
    """Crop, resize (nearest pixel) and mirror class maps (..., H, W); left and right classes change places."""
    cut = labels[..., view.top : view.top + view.side, view.left : view.left + view.side]
    if view.side != size:
        nearest = torch.arange(size, device=labels.device).mul_(2).add_(1).mul_(view.side).div_(
            2 * size, rounding_mode="floor"
        )
        cut = cut[..., nearest, :][..., nearest]
    return _mirrored_classes(labels.device)[cut.flip(-1).long()] if view.flip else cut


def view_flow(flow: Tensor, view: View, size: int) -> Tensor:
    """Crop, resize and mirror flow (..., 2, H, W) [px], and scale it to the new pixels."""
    out = view_pictures(flow, view, size) * (size / view.side)
    if view.flip:
        out = out * out.new_tensor([-1.0, 1.0]).reshape(2, 1, 1)
    return out


def view_light(light: Tensor, view: View) -> Tensor:
    """Mirror lightings (..., 16, 16), X to -X, if the view is mirrored."""
    return light.flip(-1) if view.flip else light


def find_occluded(flow: Tensor, *, relative: float = 0.01, slack: float = 0.5) -> Tensor:
    """Pixels without counterpart, from flow there and back, (B, 2, 1, H, W) float32 of (B, 2, 2, H, W) [px].

    The rule of :func:`olatkit.vision.occlusion.hidden_points`, as tensors: 1 where ``|f(x) + b(x + f(x))|² >=
    relative (|f|² + |b|²) + slack``, or where x + f(x) lies outside the picture.
    """
    back = warp_to_other(flow, flow)
    error = (flow + back).square().sum(2, keepdim=True)
    allowed = relative * (flow.square().sum(2, keepdim=True) + back.square().sum(2, keepdim=True)) + slack
    height, width = flow.shape[3:]
    x = torch.arange(width, device=flow.device) + flow[:, :, :1]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, :, 1:]
    inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    return ((error >= allowed) | ~inside).to(flow.dtype)


def _mirrored_classes(device: torch.device) -> Tensor:
    """Class of every class in a mirrored picture, (256,) uint8."""
    table = torch.arange(256, dtype=torch.uint8)
    for left, right in MIRRORED_CLASSES:
        table[left], table[right] = right, left
    return table.to(device)
