"""sRGB on tensors: what :mod:`olatkit.color` does to arrays, quick enough for every picture of every sample."""

import numba
import numpy as np
import torch
from numpy.polynomial import Chebyshev, Polynomial
from torch import Tensor

from olatkit.color import decode_srgb as decode_array
from olatkit.color import encode_srgb as encode_array
from olatkit.render.vectors import PANEL, split

_F = np.float32
KNEE = 0.0031308
# The curve above its knee as powers of the fourth root, within 1e-6: vector instructions know roots, but no powers.
_CURVE = tuple(
    Chebyshev.interpolate(lambda root: encode_array(root**4), 8, domain=[KNEE**0.25, 1])
    .convert(kind=Polynomial).coef.astype(np.float32)[::-1]
)
_LINEAR_BYTES = decode_array(np.arange(256) / 255).astype(np.float32)


def encode_srgb(linear: Tensor, out: Tensor | None = None) -> Tensor:
    """Linear to sRGB, clipped to 0 to 1, float32; on a CPU by a polynomial, elsewhere by the formula.

    ``out`` is filled and returned if it is given; it is contiguous.
    """
    out = torch.empty(linear.shape, dtype=torch.float32, device=linear.device) if out is None else out
    if linear.device.type == "cpu":
        _encode(linear.to(torch.float32).contiguous().numpy().reshape(-1), out.numpy().reshape(-1))
        return out
    x = linear.clamp(0, 1)
    return out.copy_(torch.where(x <= KNEE, 12.92 * x, 1.055 * x.clamp(min=KNEE) ** (1 / 2.4) - 0.055))


def decode_srgb(image_srgb: Tensor) -> Tensor:
    """sRGB 0 to 1 to linear."""
    return torch.where(image_srgb <= 0.04045, image_srgb / 12.92, ((image_srgb + 0.055) / 1.055) ** 2.4)


def bytes_to_planes(pictures: Tensor, out: Tensor | None = None, *, linear: bool = False) -> Tensor:
    """Pictures (N, H, W, 3) of bytes to (N, 3, H, W) float32, 0 to 1; sRGB as stored, or linear."""
    n, height, width, _ = pictures.shape
    shape = (n, 3, height, width)
    out = torch.empty(shape, dtype=torch.float32, device=pictures.device) if out is None else out
    if pictures.device.type == "cpu":
        flat, planes = pictures.reshape(n, -1, 3).numpy(), out.numpy().reshape(n, 3, -1)
        if linear:
            _linear_planes(flat, _LINEAR_BYTES, planes)
        else:
            _planes(flat, planes)
        return out
    values = pictures.permute(0, 3, 1, 2).to(torch.float32) / 255
    return out.copy_(decode_srgb(values) if linear else values)


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _encode(linear, out):
    for i in range(linear.size):
        value = linear[i]
        value = value if value > _F(0) else _F(0)  # also NaN
        value = value if value < _F(1) else _F(1)
        root = np.sqrt(np.sqrt(value))
        curve = _CURVE[0]
        for k in range(1, len(_CURVE)):
            curve = curve * root + _CURVE[k]
        out[i] = curve if value > _F(KNEE) else _F(12.92) * value


@numba.njit(cache=True, nogil=True)
def _planes(pictures, out):
    """Bytes (N, P, 3) to planes (N, 3, P), 0 to 1."""
    pixels = pictures.shape[1]
    whole = pixels - pixels % PANEL
    padded, sides = np.zeros((PANEL, 3), np.uint8), np.empty((3, PANEL), np.float32)
    for n in range(len(pictures)):
        picture, red, green, blue = pictures[n], out[n, 0], out[n, 1], out[n, 2]
        for p in range(0, whole, PANEL):
            split(picture[p : p + PANEL], red[p : p + PANEL], green[p : p + PANEL], blue[p : p + PANEL])  # type: ignore[call-arg]
        padded[: pixels - whole] = picture[whole:]
        split(padded, sides[0], sides[1], sides[2])  # type: ignore[call-arg]
        out[n, :, whole:] = sides[:, : pixels - whole]


@numba.njit(cache=True, nogil=True)
def _linear_planes(pictures, table, out):
    """Bytes (N, P, 3) to planes (N, 3, P) by a table."""
    for n in range(len(pictures)):
        source, red, green, blue = pictures[n], out[n, 0], out[n, 1], out[n, 2]
        for p in range(len(source)):
            red[p], green[p], blue[p] = table[source[p, 0]], table[source[p, 1]], table[source[p, 2]]
