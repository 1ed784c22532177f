"""Motion between the two frames of a sample, as tensors that gradients pass through.

Shapes are (B, 2, C, H, W): the second axis is time, t and t + 1. A flow lies on the grid of its own time and points to
the other one: ``flow[:, 0]`` from t to t + 1, ``flow[:, 1]`` back (``docs/conventions.md``).
"""

import torch
from torch import Tensor


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Sample ``image`` (N, C, H, W) at x + flow(x), flow (N, 2, H, W) [px]: bilinear, the border repeated outside."""
    height, width = image.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=flow.device, dtype=flow.dtype),
        torch.arange(width, device=flow.device, dtype=flow.dtype), indexing="ij",
    )
    # grid_sample counts from -1 at the first pixel's centre to +1 at the last one's.
    grid = torch.stack([
        2 * (x + flow[:, 0]) / max(width - 1, 1) - 1, 2 * (y + flow[:, 1]) / max(height - 1, 1) - 1,
    ], dim=-1)
    return torch.nn.functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def warp_to_other(pair: Tensor, flow: Tensor) -> Tensor:
    """Bring each frame of a pair to the time of the other: f_{t+1→t} of the second first, f_{t→t+1} of the first second.

    Parameters
    ----------
    pair : tensor, shape (B, 2, C, H, W)
    flow : tensor, shape (B, 2, 2, H, W)

    Returns
    -------
    tensor, shape (B, 2, C, H, W)
        Index 0 lies on the grid of t and is to be compared with ``pair[:, 0]``, index 1 on that of t + 1.
    """
    other = pair.flip(1)
    return warp(other.flatten(0, 1), flow.flatten(0, 1)).unflatten(0, (-1, 2))


def in_frame(flow: Tensor) -> Tensor:
    """1 where x + flow(x) lies within the picture, else 0, shape (B, 2, 1, H, W)."""
    height, width = flow.shape[3:]
    x = torch.arange(width, device=flow.device) + flow[:, :, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, :, 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside[:, :, None].to(flow.dtype)


def visible_in_both(mask: Tensor, flow: Tensor, occluded: Tensor) -> Tensor:
    """Where a frame can be compared with the other one brought to its time: V of the temporal loss.

    Parameters
    ----------
    mask : tensor, shape (B, 2, 1, H, W)
        Foreground.
    flow : tensor, shape (B, 2, 2, H, W)
    occluded : tensor, shape (B, 2, 1, H, W)
        1 where the pixel has no counterpart.

    Returns
    -------
    tensor, shape (B, 2, 1, H, W)
        ``M · f(M) · [in frame] · [not occluded]``, 0 to 1.
    """
    return mask * warp_to_other(mask, flow) * in_frame(flow) * (1 - occluded)
