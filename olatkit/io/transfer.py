"""Transfer curves of pictures and video, undone by table: codes to linear light."""

import math

import numpy as np

from olatkit.color import decode_srgb

TRANSFERS = "'srgb', 'rec709', 'linear' or a gamma such as 2.2"


def parse_transfer(transfer: str | float) -> str | float:
    """Check the name of a curve or its gamma (a number or its text); ValueError for anything else."""
    if transfer in ("srgb", "rec709", "linear"):
        return transfer
    try:
        gamma = float(transfer)
    except (TypeError, ValueError):
        gamma = math.nan
    if not 0.2 <= gamma <= 5:
        raise ValueError(f"transfer is {transfer!r}, expected {TRANSFERS}")
    return gamma


def make_transfer_table(transfer: str | float, codes: int) -> np.ndarray:
    """Linear light, shape (codes,) float32 from 0 to 1, of the full-range codes 0 to ``codes`` - 1.

    Parameters
    ----------
    transfer : {'srgb', 'rec709', 'linear'} or float
        The curve the codes were made with: sRGB (IEC 61966-2-1), the camera curve of ITU-R BT.709 inverted, none,
        or light = code ** gamma.
    codes : int
        256 or 65536.
    """
    curve = parse_transfer(transfer)
    encoded = np.arange(codes) / (codes - 1)
    if curve == "linear":
        linear = encoded
    elif curve == "srgb":
        linear = decode_srgb(encoded)
    elif curve == "rec709":
        linear = np.where(encoded < 0.081, encoded / 4.5, ((encoded + 0.099) / 1.099) ** (1 / 0.45))
    else:
        linear = encoded ** float(curve)
    return linear.astype(np.float32)
