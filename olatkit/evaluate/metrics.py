"""Errors of pictures inside masks; pure functions of batches, one number per picture."""

import torch
from torch import Tensor

from olatkit.learn.measure import masked_rmse, psnr

# Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004: window of 11 x 11, K1 and K2, for values from 0 to 1.
SSIM_SIGMA, SSIM_RADIUS = 1.5, 5
_C1, _C2 = 0.01**2, 0.03**2


def measure_pictures(pictures: Tensor, targets: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """``rmse``, ``psnr`` [dB] and ``ssim`` of every picture inside its mask, each (B,).

    Parameters
    ----------
    pictures, targets : Tensor, shape (B, 3, H, W)
        sRGB; values are cut to 0 to 1 first.
    masks : Tensor, shape (B, 1, H, W)
        0 to 1, the subject.

    Notes
    -----
    RMSE = sqrt(Σ M (a - b)² / (3 Σ M)); PSNR = -20 log10 RMSE, at most 120 dB; SSIM as :func:`masked_ssim`.
    """
    rmse = masked_rmse(masks, pictures, targets)
    return {"rmse": rmse, "psnr": psnr(rmse), "ssim": masked_ssim(pictures, targets, masks)}


@torch.no_grad()
def masked_ssim(pictures: Tensor, targets: Tensor, masks: Tensor) -> Tensor:
    """Structural similarity (B,) of pictures (B, 3, H, W) inside masks (B, 1, H, W).

    Both pictures are multiplied by the mask; the map of each channel (Gaussian window of 11 x 11 pixels, sigma 1.5,
    picture continued by its mirror image, population covariance) is averaged over mask and channels.

    Raises
    ------
    ValueError
        Pictures smaller than the window's half, or an empty mask.
    """
    if min(pictures.shape[-2:]) <= SSIM_RADIUS:
        raise ValueError(f"pictures of {tuple(pictures.shape[-2:])} px, expected more than {SSIM_RADIUS}")
    weight = masks.sum((1, 2, 3))
    if not bool((weight > 0).all()):
        raise ValueError("an empty mask: there is nothing to compare")
    a, b = (masks * x.clamp(0, 1) for x in (pictures, targets))
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    both = _blur(a * b) - mean_a * mean_b
    ssim = (2 * mean_a * mean_b + _C1) * (2 * both + _C2)
    ssim = ssim / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))
    return (masks * ssim).sum((1, 2, 3)) / (ssim.shape[1] * weight)


def _blur(x: Tensor) -> Tensor:
    """Gaussian of 11 x 11 pixels, separable; edge pixels are repeated once in the mirror image."""
    offset = torch.arange(-SSIM_RADIUS, SSIM_RADIUS + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (offset / SSIM_SIGMA) ** 2)
    kernel = kernel / kernel.sum()
    for axis in (2, 3):
        index = torch.arange(-SSIM_RADIUS, x.shape[axis] + SSIM_RADIUS, device=x.device)
        index = torch.where(index < 0, -1 - index, index)
        index = torch.where(index >= x.shape[axis], 2 * x.shape[axis] - 1 - index, index)
        shape = [1, 1, -1, 1] if axis == 2 else [1, 1, 1, -1]
        padded = x.index_select(axis, index).flatten(0, 1)[:, None]
        x = torch.nn.functional.conv2d(padded, kernel.reshape(shape))[:, 0].reshape(x.shape)
    return x
