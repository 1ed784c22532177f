"""Environment maps on disk: Radiance HDR, OpenEXR, and 8/16-bit pictures with a warning."""

import logging
import os
from pathlib import Path

import numpy as np

from olatkit.color import decode_srgb
from olatkit.envmap import EnvironmentMap
from olatkit.errors import FormatError
from olatkit.geometry import row_solid_angles
from olatkit.io.exr import EXR_MAGIC, read_exr_header
from olatkit.io.images import read_image

log = logging.getLogger(__name__)

# Yaw [deg] that brings what a file shows in its centre column to where it belongs.
CENTER_YAW_DEG = {"-z": 0.0, "+z": 180.0, "+x": -90.0, "-x": 90.0}
REC709_CHROMATICITIES = np.array([0.64, 0.33, 0.30, 0.60, 0.15, 0.06])


def read_environment(
    path: str | os.PathLike[str], *, center: str = "-z", flip: bool = False
) -> EnvironmentMap:
    """Read a lat-long environment map as linear Rec.709 radiance.

    Parameters
    ----------
    path : path
        .hdr or .exr; PNG, JPEG or TIFF are decoded from sRGB with a warning, for they hold no bright light.
        Any height and width.
    center : {"-z", "+z", "+x", "-x"}
        World direction that the centre column of the file shows. "-z", behind the subject as the camera sees it,
        is this package's own convention.
    flip : bool
        Mirror left and right about the centre column first, for maps drawn as seen from outside the sphere.

    Returns
    -------
    EnvironmentMap
        float32; named after the file. Suns are never clamped.

    Raises
    ------
    FormatError
        Missing or damaged file, not a picture, infinite values, no light at all.

    Notes
    -----
    NaN and negative values, which lossy EXR compression leaves around black, become 0; one warning counts them
    and states their power. Alpha is ignored.
    """
    if center not in CENTER_YAW_DEG:
        raise ValueError(f"center is '{center}', expected one of {', '.join(CENTER_YAW_DEG)}")
    path = Path(path)
    radiance = _clean(path, _as_radiance(path, read_image(path)))
    if not radiance.any():
        raise FormatError(f"{path}: the map is black everywhere, expected some light")
    environment = EnvironmentMap(radiance[:, ::-1].copy() if flip else radiance, path.stem)
    return environment.rotate(CENTER_YAW_DEG[center]) if CENTER_YAW_DEG[center] else environment


def _as_radiance(path: Path, image: np.ndarray) -> np.ndarray:
    """Stored picture to linear RGB float32, (H, W, 3)."""
    rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
    if np.issubdtype(rgb.dtype, np.integer):
        log.warning("%s: %d-bit picture, decoded as sRGB; it holds no light brighter than white, suns are lost",
                    path, 8 * rgb.dtype.itemsize)
        return decode_srgb(rgb.astype(np.float64) / np.iinfo(rgb.dtype).max).astype(np.float32)
    _warn_about_primaries(path)
    return rgb.astype(np.float32)


def _warn_about_primaries(path: Path) -> None:
    """Warn if an EXR file states other primaries than Rec.709; its white point may be an adapted one."""
    with path.open("rb") as file:
        if not file.read(4).startswith(EXR_MAGIC):
            return
    stated = read_exr_header(path).get("chromaticities")
    if stated is not None and np.abs(np.asarray(stated[:6], float) - REC709_CHROMATICITIES).max() > 0.03:
        log.warning("%s: its primaries are %s, not Rec.709; colours will be off, convert the file first",
                    path, np.round(stated[:6], 3).tolist())


def _clean(path: Path, radiance: np.ndarray) -> np.ndarray:
    """Refuse infinite values; set NaN and negative ones to 0 and say how many and how much."""
    if np.isinf(radiance).any():
        row, column, _ = np.argwhere(np.isinf(radiance))[0]
        raise FormatError(
            f"{path}: {int(np.isinf(radiance).sum())} infinite values, the first at row {row}, column {column}; "
            "half floats end at 65504: export the map with 32-bit floats"
        )
    nan, negative = np.isnan(radiance), radiance < 0
    if not (nan.any() or negative.any()):
        return radiance
    solid_angles = row_solid_angles(*radiance.shape[:2])[:, None, None]
    lost = float((np.where(negative, -radiance, 0) * solid_angles).sum())
    kept = float((np.where(radiance > 0, radiance, 0) * solid_angles).sum())
    log.warning("%s: %d negative and %d NaN values set to 0 (negative power %.3g, %.2g of the whole)",
                path, int(negative.sum()), int(nan.sum()), lost, lost / kept if kept else np.inf)
    return np.where(radiance > 0, radiance, np.float32(0))
