"""sRGB on tensors: what :mod:`olatkit.color` does to arrays, quick enough for every picture of every sample."""

import numba
import numpy as np
import torch
from torch import Tensor

from olatkit.color import decode_srgb as decode_array
from olatkit.color import encode_srgb as encode_array

STEPS = 4096
# The curve at the squares of even steps, between which it is nearly straight: within 1e-6 by linear interpolation.
_TABLE = encode_array((np.arange(STEPS + 2) / STEPS) ** 2).astype(np.float32)
_BYTES = (np.arange(256) / 255).astype(np.float32)
_LINEAR_BYTES = decode_array(np.arange(256) / 255).astype(np.float32)


def encode_srgb(linear: Tensor, out: Tensor | None = None) -> Tensor:
    """Linear to sRGB, clipped to 0 to 1, float32; on a CPU by a table, elsewhere by the formula.

    ``out`` is filled and returned if it is given; it is contiguous.
    """
    out = torch.empty(linear.shape, dtype=torch.float32, device=linear.device) if out is None else out
    if linear.device.type == "cpu":
        _encode(linear.to(torch.float32).contiguous().numpy().reshape(-1), _TABLE, out.numpy().reshape(-1))
        return out
    x = linear.clamp(0, 1)
    return out.copy_(torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp(min=0.0031308) ** (1 / 2.4) - 0.055))


def decode_srgb(image_srgb: Tensor) -> Tensor:
    """sRGB 0 to 1 to linear."""
    return torch.where(image_srgb <= 0.04045, image_srgb / 12.92, ((image_srgb + 0.055) / 1.055) ** 2.4)


def bytes_to_planes(pictures: Tensor, out: Tensor | None = None, *, linear: bool = False) -> Tensor:
    """Pictures (N, H, W, 3) of bytes to (N, 3, H, W) float32, 0 to 1; sRGB as stored, or linear."""
    n, height, width, _ = pictures.shape
    shape = (n, 3, height, width)
    out = torch.empty(shape, dtype=torch.float32, device=pictures.device) if out is None else out
    if pictures.device.type == "cpu":
        _planes(pictures.contiguous().numpy(), _LINEAR_BYTES if linear else _BYTES, out.numpy())
        return out
    values = pictures.permute(0, 3, 1, 2).to(torch.float32) / 255
    return out.copy_(decode_srgb(values) if linear else values)


@numba.njit(cache=True, nogil=True)
def _encode(linear, table, out):
    for i in range(linear.size):
        place = np.sqrt(min(max(linear[i], np.float32(0)), np.float32(1))) * np.float32(STEPS)
        k = np.int32(place)
        low = table[k]
        out[i] = low + (place - np.float32(k)) * (table[k + 1] - low)


@numba.njit(cache=True, nogil=True)
def _planes(pictures, table, out):
    for n in range(pictures.shape[0]):
        for y in range(pictures.shape[1]):
            row, red, green, blue = pictures[n, y], out[n, 0, y], out[n, 1, y], out[n, 2, y]
            for x in range(pictures.shape[2]):
                red[x], green[x], blue[x] = table[row[x, 0]], table[row[x, 1]], table[row[x, 2]]
