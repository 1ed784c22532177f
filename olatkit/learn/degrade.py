"""What a camera does to a picture: sensor noise, JPEG, rounding; on tensors, on their device, repeatable by a seed."""

import functools

import numpy as np
import torch
from torch import Tensor

from olatkit.learn.augment import View

# Quantisation of luma and chroma at quality 50: Annex K of ITU-T T.81 (09/92), tables K.1 and K.2.
_LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMA = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""
_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def add_sensor_noise(linear: Tensor, view: View) -> Tensor:
    """Add shot and read noise to linear pictures, 1 is display white.

    Variance ``x / N + (r / N)²`` with N electrons at white and read noise r. The numbers depend on the view's seed and
    the kind of device.
    """
    generator = torch.Generator(linear.device).manual_seed(view.seed)
    variance = linear.clamp(min=0) / view.full_well + (view.read_noise_e / view.full_well) ** 2
    noise = torch.randn(linear.shape, generator=generator, device=linear.device, dtype=linear.dtype)
    return linear + variance.sqrt() * noise


def round_to_8_bits(image_srgb: Tensor) -> Tensor:
    """Pictures 0 to 1 as a file of 8 bits holds them."""
    return (image_srgb * 255).round() / 255


def jpeg_errors(image_srgb: Tensor, quality: int) -> Tensor:
    """Pictures (..., 3, H, W), 0 to 1, as they return from a JPEG file; chroma at half resolution.

    The lossy steps of baseline JPEG without its lossless coding: 8 bits, YCbCr, means of 2 x 2 chroma pixels, cosine
    transform of 8 x 8 blocks, division and rounding, and back. Borders are padded by repetition.
    """
    shape = image_srgb.shape
    height, width = shape[-2:]
    rgb = (image_srgb.reshape(-1, 3, height, width) * 255).round()
    rgb = torch.nn.functional.pad(rgb, (0, -width % 16, 0, -height % 16), mode="replicate")
    matrix = rgb.new_tensor(_YCC)
    ycc = torch.einsum("ij,njhw->nihw", matrix, rgb)
    luma = _through_blocks(ycc[:, :1] - 128, _table(_LUMA, quality))
    small = torch.nn.functional.avg_pool2d(ycc[:, 1:], 2)
    chroma = _through_blocks(small.round(), _table(_CHROMA, quality))
    chroma = torch.nn.functional.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    back = torch.einsum("ij,njhw->nihw", torch.linalg.inv(matrix), torch.cat([luma + 128, chroma], 1))
    return (back[..., :height, :width].round().clamp(0, 255) / 255).reshape(shape)


def _through_blocks(plane: Tensor, table: np.ndarray) -> Tensor:
    """Transform, quantise and transform back 8 x 8 blocks of (N, C, H, W)."""
    n, c, height, width = plane.shape
    basis, steps = plane.new_tensor(_cosines()), plane.new_tensor(table)
    blocks = plane.round().reshape(n, c, height // 8, 8, width // 8, 8).transpose(3, 4)
    coded = ((basis @ blocks @ basis.T) / steps).round() * steps
    out = (basis.T @ coded @ basis).round().clamp(-128, 127)
    return out.transpose(3, 4).reshape(n, c, height, width)


@functools.lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """Orthonormal 8-point cosine transform, (8, 8)."""
    k, x = np.mgrid[0:8, 0:8]
    basis = np.cos((2 * x + 1) * k * np.pi / 16) / 2
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def _table(text: str, quality: int) -> np.ndarray:
    """Quantisation steps (8, 8) at a quality, scaled as the common libraries do."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    base = np.array(text.split(), int).reshape(8, 8)
    return np.clip((base * scale + 50) // 100, 1, 255).astype(np.float32)
