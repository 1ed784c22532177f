"""The losses of Zhang et al., ICCV 2021: Eq. 4 to 8 and 10, each a function of tensors.

The paper's norms are written as sums; over the 786,432 values of a picture a sum with weight 1 would drown every other
term, so every norm here is a mean: over pixels and channels per sample, then over samples. Losses of two processes
can therefore be averaged to that of one with both their samples. N counts pictures; both frames of a pair are counted.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from olatkit.geometry import row_solid_angles
from olatkit.learn.warp import visible_in_both, warp_to_other

# A mask covers at least this share of the picture when its mean is taken: a sliver of face must not outweigh a face.
SMALLEST_SHARE = 0.01


def masked_l1(mask: Tensor, difference: Tensor) -> Tensor:
    """⟨M|x⟩₁ = Σ M|x| / (3 max(ΣM, 0.01 HW)) per sample, averaged over samples.

    Parameters
    ----------
    mask : tensor, shape (N, 1, H, W)
        0 to 1.
    difference : tensor, shape (N, 3, H, W)

    Returns
    -------
    tensor, shape ()
    """
    height, width = difference.shape[2:]
    weight = mask.sum((1, 2, 3)).clamp_min(SMALLEST_SHARE * height * width)
    per_sample = (mask * difference.abs()).sum((1, 2, 3)) / (difference.shape[1] * weight)
    return per_sample.mean()


def light_distance(true_light: Tensor, light: Tensor, norm: Literal["mean_square", "l2"] = "mean_square") -> Tensor:
    """‖log(1 + L) − log(1 + L̂)‖ over the sphere.

    Parameters
    ----------
    true_light, light : tensor, shape (N, 3, 16, 16)
        Radiance.
    norm : {"mean_square", "l2"}
        Mean of squares over directions, weighted by solid angle, and channels; or, as the paper writes, its root.

    Returns
    -------
    tensor, shape ()
    """
    height, width = light.shape[2:]
    shares = light.new_tensor(row_solid_angles(height, width) / (4 * np.pi))[:, None]
    squared = (torch.log1p(true_light) - torch.log1p(light)) ** 2
    per_sample = (shares * squared).sum((2, 3)).mean(1)
    return (per_sample.sqrt() if norm == "l2" else per_sample).mean()


def basic_loss(
    light: Tensor, true_light: Tensor, relit: Tensor, target: Tensor, own: Tensor, source: Tensor, mask: Tensor,
    light_norm: Literal["mean_square", "l2"] = "mean_square",
) -> Tensor:
    """Eq. 4: ½ ‖log(1 + L^i) − log(1 + L̂^i)‖ + ‖M ⊙ (I^k − Ĩ^k)‖₁ + ‖M ⊙ (I^i − Î^i)‖₁.

    Parameters
    ----------
    light, true_light : tensor, shape (N, 3, 16, 16)
        L̂^i as predicted, L^i as it was.
    relit, target, own, source : tensor, shape (N, 3, H, W)
        Ĩ^k, I^k, Î^i, I^i.
    mask : tensor, shape (N, 1, H, W)
        Foreground M.

    Returns
    -------
    tensor, shape ()
    """
    light_term = 0.5 * light_distance(true_light, light, light_norm)
    return light_term + masked_l1(mask, target - relit) + masked_l1(mask, source - own)


def latent_loss(code: Tensor, code_of_relit: Tensor, stop_gradient: Literal["none", "first"] = "none") -> Tensor:
    """Eq. 5: ‖ê − ẽ‖², ẽ being the code of the relit picture; the codes (N, C, h, w), the result a mean, shape ().

    ``stop_gradient="first"`` takes ê as given; by default gradients reach the encoder through both passes.
    """
    if stop_gradient == "first":
        code = code.detach()
    return ((code - code_of_relit) ** 2).mean()


def parsing_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Eq. 6: −(P ⊙ log P̂ + (1 − P) ⊙ log(1 − P̂)), a mean over classes and all pixels.

    Parameters
    ----------
    logits : tensor, shape (N, K, H, W)
        P̂ before the sigmoid, one class per channel; with K = 1 the foreground.
    labels : tensor, shape (N, H, W), uint8
        Class 0 to 18, 0 is background.

    Returns
    -------
    tensor, shape ()
    """
    classes = logits.shape[1]
    if classes == 1:
        truth = (labels != 0)[:, None]
    else:
        truth = labels[:, None] == torch.arange(classes, device=labels.device, dtype=labels.dtype)[:, None, None]
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype))


def critic_loss(real_scores: Tensor, relit_scores: Tensor) -> Tensor:
    """Eq. 7, first line: −Φ_D(I^i, I^k, L^k) + Φ_D(I^i, Ĩ^k, L^k), scores (N,); minus the estimated distance."""
    return relit_scores.mean() - real_scores.mean()


def adversarial_loss(relit_scores: Tensor) -> Tensor:
    """Eq. 7, second line: −Φ_D(I^i, Ĩ^k, L^k), scores (N,); its gradient is for the decoder alone."""
    return -relit_scores.mean()


def temporal_loss(
    relit: Tensor, own: Tensor, crossed: Tensor, mask: Tensor, flow: Tensor, occluded: Tensor, *, masked: bool = True
) -> Tensor:
    """Eq. 8: every frame agrees with the other one brought to its time, under L^k, L̂^i and L̂^j; six terms.

    Parameters
    ----------
    relit : tensor, shape (B, 2, 3, H, W)
        Ĩ_t^k and Ĩ_{t+1}^k.
    own : tensor, shape (B, 2, 3, H, W)
        Each frame under its own predicted light: Î_t^i and Î_{t+1}^j.
    crossed : tensor, shape (B, 2, 3, H, W)
        Each frame under the other's predicted light: Î_t^j and Î_{t+1}^i.
    mask, occluded : tensor, shape (B, 2, 1, H, W)
        Foreground, and pixels without counterpart.
    flow : tensor, shape (B, 2, 2, H, W)
        On the grid of its own frame, to the other [px].
    masked : bool
        Compare where both frames show the same point of the foreground; otherwise everywhere, as the paper writes.

    Returns
    -------
    tensor, shape ()
        Not 0 for perfect pictures either: shading changes while the head moves.
    """
    visible = visible_in_both(mask, flow, occluded) if masked else torch.ones_like(mask)
    under_i = torch.stack([own[:, 0], crossed[:, 1]], dim=1)
    under_j = torch.stack([crossed[:, 0], own[:, 1]], dim=1)
    terms = []
    for pair in (relit, under_i, under_j):
        difference = warp_to_other(pair, flow) - pair
        terms += [masked_l1(visible[:, time], difference[:, time]) for time in (0, 1)]
    return torch.stack(terms).sum()


def temporal_floor(target: Tensor, mask: Tensor, flow: Tensor, occluded: Tensor) -> Tensor:
    """The share of the first two terms of Eq. 8 that the true pictures (B, 2, 3, H, W) have themselves, shape ()."""
    visible = visible_in_both(mask, flow, occluded)
    difference = warp_to_other(target, flow) - target
    return masked_l1(visible[:, 0], difference[:, 0]) + masked_l1(visible[:, 1], difference[:, 1])


def total_loss(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Eq. 10: Σ λ_n L_n over the terms that are there, shape ()."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
