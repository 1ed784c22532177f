"""Transfer curves of pictures and video, undone by table: codes to linear light."""

import math

import numpy as np

from olatkit.color import decode_srgb
from olatkit.errors import ConfigError

# Where the two pieces of the BT.709 curve meet without a step (BT.709 prints 1.099 and 0.018; BT.2020 more digits).
_ALPHA, _BETA = 1.09929682680944, 0.018053968510807

TRANSFERS = "'srgb', 'rec709', 'linear' or a gamma such as 2.2"


def parse_transfer(transfer: str | float) -> str | float:
    """Check the name of a curve or its gamma (a number or its text); ConfigError for anything else."""
    if transfer in ("srgb", "rec709", "linear"):
        return transfer
    try:
        gamma = float(transfer)
    except (TypeError, ValueError):
        gamma = math.nan
    if not 0.2 <= gamma <= 5:
        raise ConfigError(f"transfer is {transfer!r}, expected {TRANSFERS}")
    return gamma


def make_transfer_table(transfer: str | float, codes: int, *, white: int | None = None) -> np.ndarray:
    """Linear light, shape (codes,) float32 from 0 to 1, of the codes 0 to ``codes`` - 1.

    Parameters
    ----------
    transfer : {'srgb', 'rec709', 'linear'} or float
        The curve the codes were made with: sRGB (IEC 61966-2-1), the camera curve of ITU-R BT.709 inverted, none,
        or light = code ** gamma.
    codes : int
        256 or 65536.
    white : int, optional
        Code of full scale, default the highest; codes above it mean 1.
    """
    curve = parse_transfer(transfer)
    encoded = np.minimum(np.arange(codes) / (white or codes - 1), 1)
    if curve == "linear":
        linear = encoded
    elif curve == "srgb":
        linear = decode_srgb(encoded)
    elif curve == "rec709":
        power = ((encoded + _ALPHA - 1) / _ALPHA) ** (1 / 0.45)
        linear = np.where(encoded < 4.5 * _BETA, encoded / 4.5, power)
    else:
        linear = encoded ** float(curve)
    return linear.astype(np.float32)
