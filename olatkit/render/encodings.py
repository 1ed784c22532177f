"""Forms in which networks take an environment map: tone-mapped picture, logarithm and directions.

Together they are the lighting condition of DiffusionRenderer (Liang et al., CVPR 2025) and of models built on it. All
arrays are lat-long in this package's orientation unless said otherwise.
"""

import numpy as np

from olatkit.color import encode_srgb
from olatkit.geometry import latlong_directions

# Radiance that the tone curve takes to white, and that the logarithm takes to 1.
WHITE_POINT = 16.0
LOG_WHITE = 10_000.0


def encode_ldr(radiance: np.ndarray) -> np.ndarray:
    """Reinhard's curve with a white point of 16 in each channel, then sRGB; [0, 1], float32.

    x (1 + x / 16²) / (1 + x) (Reinhard et al. 2002, Eq. 4); brighter light is white.
    """
    x = np.asarray(radiance, np.float64)
    return encode_srgb(np.minimum(x * (1 + x / WHITE_POINT**2) / (1 + x), 1)).astype(np.float32)


def encode_log(radiance: np.ndarray) -> np.ndarray:
    """log(1 + x) / log(1 + 10000), then sRGB; [0, 1], float32. Radiance above 10,000, a bright sun's, is 1."""
    x = np.asarray(radiance, np.float64)
    return encode_srgb(np.minimum(np.log1p(x) / np.log1p(LOG_WHITE), 1)).astype(np.float32)


def encode_directions(height: int, width: int) -> np.ndarray:
    """Unit direction of every pixel (x right, y up, z to the camera), (height, width, 3) float32, -1 ... 1."""
    return latlong_directions(height, width).astype(np.float32)
