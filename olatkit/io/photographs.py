"""One photograph from a file to linear light, as its manifest says."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from olatkit.errors import ConfigError, FormatError
from olatkit.io.camera_raw import RAW_SUFFIXES, CameraRaw, read_camera_raw
from olatkit.io.images import read_image
from olatkit.io.transfer import make_transfer_table
from olatkit.wording import counted

if TYPE_CHECKING:
    from olatkit.io.manifests import Pictures

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".exr", ".hdr", *RAW_SUFFIXES)
SATURATED = 0.985  # share of full scale from which a value may be clipped


@dataclass(frozen=True, eq=False)
class Photograph:
    """Linear light of a photograph, 1.0 = its white level.

    ``linear`` (H, W, 3) float32, or (H, W) for a mosaic; ``bayer`` the pattern of a mosaic; ``saturated`` (H, W),
    True where a value may be clipped.
    """

    linear: np.ndarray
    bayer: str | None
    saturated: np.ndarray


def read_photograph(path: str | os.PathLike[str], pictures: "Pictures") -> Photograph:
    """Read a picture and undo its black level and curve.

    Parameters
    ----------
    path : path-like
        8- or 16-bit PNG, TIFF or JPEG, EXR, Radiance, or camera raw.
    pictures : Pictures
        What the manifest says of all of them.

    Returns
    -------
    Photograph
        Values below black stay negative, values above white stay above 1 (linear pictures; curves end at white).

    Raises
    ------
    FormatError
        Missing or damaged file, transparency, more channels than three.
    ConfigError
        What the manifest says does not fit this kind of file.
    """
    path = Path(path)
    raw = _read_stored(path)
    bayer = raw.bayer if pictures.bayer == "file" else pictures.bayer
    black = raw.black_level if pictures.black_level == "file" else float(pictures.black_level)
    white = raw.white_level if pictures.white_level == "file" else float(pictures.white_level)
    if raw.bayer is None and "file" in (pictures.bayer, pictures.black_level, pictures.white_level):
        key = next(key for key in ("bayer", "black_level", "white_level") if getattr(pictures, key) == "file")
        raise ConfigError(f"{path}: 'pictures.{key}' is file, but only camera raw files state it; write it down")
    if raw.bayer is not None and bayer is None:
        raise ConfigError(f"{path}: camera raw holds a mosaic; set 'pictures.bayer' to file")
    if bayer is not None and raw.values.ndim != 2:
        raise FormatError(f"{path}: has {raw.values.shape[2]} channels, but 'pictures.bayer' says it is a mosaic")
    _check_levels(path, raw.values, white)
    top = raw.values if raw.values.ndim == 2 else raw.values.max(axis=2)
    saturated = top >= SATURATED * white
    linear = _linear(path, raw.values, pictures.transfer, black, white)
    if bayer is None and linear.ndim == 2:
        linear = np.repeat(linear[..., None], 3, axis=2)
    return Photograph(linear, bayer, saturated)


def read_mask(path: str | os.PathLike[str], shape: tuple[int, int]) -> np.ndarray:
    """A mask picture as bool (H, W): brighter than half of its own brightest value. FormatError for another size."""
    values = read_image(path)
    grey = values if values.ndim == 2 else values[..., :3].max(axis=2)
    if grey.shape != shape:
        raise FormatError(f"{path}: mask of {grey.shape[1]}x{grey.shape[0]} pixels, the pictures have {shape[1]}x{shape[0]}")
    if not grey.max() > 0:
        raise FormatError(f"{path}: the mask is black everywhere, expected bright pixels on the subject")
    return grey > grey.max() / 2


def read_grey(path: str | os.PathLike[str], transfer: str | float = "srgb") -> np.ndarray:
    """Mean of the channels, (H, W) float32, full range of the file = 1; ``transfer`` is undone for 8 and 16 bits.

    For finding things in pictures; measurements of light need the levels of a manifest.
    """
    path = Path(path)
    values = _read_stored(path).values
    if values.dtype in (np.uint8, np.uint16) and path.suffix.lower() not in RAW_SUFFIXES:
        values = make_transfer_table(transfer, 256 if values.dtype == np.uint8 else 65536)[values]
    elif np.issubdtype(values.dtype, np.integer):
        values = values.astype(np.float32) / np.iinfo(values.dtype).max
    return values.astype(np.float32) if values.ndim == 2 else values.mean(axis=2, dtype=np.float32)


def peek_photograph(path: Path) -> str:
    """Size and kind of values of a picture, for a draft; why it cannot be read, if so."""
    try:
        values = _read_stored(path).values
    except (FormatError, ConfigError) as error:
        return str(error)
    channels = 1 if values.ndim == 2 else values.shape[2]
    return (
        f"{values.shape[1]}x{values.shape[0]} pixels, {counted(channels, 'channel')}, {values.dtype}, values "
        f"{values.min():g} to "
        f"{values.max():g}"
    )


def _read_stored(path: Path) -> CameraRaw:
    """Values as stored, without transparency."""
    if path.suffix.lower() in RAW_SUFFIXES:
        return read_camera_raw(path)
    values = read_image(path)
    if values.ndim == 3 and values.shape[2] == 4:
        opaque = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
        if not (values[..., 3] == opaque).all():
            raise FormatError(f"{path}: has transparent pixels; export without alpha, and give a mask instead")
        values = np.ascontiguousarray(values[..., :3])
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim == 3 and values.shape[2] != 3:
        raise FormatError(f"{path}: {values.shape[2]} channels, expected grey or RGB")
    return CameraRaw(values)


def _check_levels(path: Path, values: np.ndarray, white: float) -> None:
    """A white level beyond what the file can hold, or one that float pictures cannot mean, is a mistake."""
    if np.issubdtype(values.dtype, np.integer):
        if white > np.iinfo(values.dtype).max:
            raise ConfigError(
                f"{path}: holds {values.dtype}, but 'pictures.white_level' is {white:g}, above {np.iinfo(values.dtype).max}"
            )
    elif not np.isfinite(values).all():
        y, x = np.argwhere(~np.isfinite(values))[0][:2]
        raise FormatError(f"{path}: value at row {y}, column {x} is not finite; half floats end at 65504")


def _linear(path: Path, values: np.ndarray, transfer: str | float, black: Any, white: float) -> np.ndarray:
    """Curve and levels undone, float32."""
    if transfer == "linear":
        low = np.asarray(black, np.float32)
        linear = values.astype(np.float32)
        linear -= low  # in place: a picture of 24 megapixels is 0.3 GB
        linear /= np.float32(white) - low
        return linear
    if values.dtype not in (np.uint8, np.uint16):
        raise ConfigError(f"{path}: holds {values.dtype} values, for which 'pictures.transfer' must be linear")
    return make_transfer_table(transfer, 256 if values.dtype == np.uint8 else 65536, white=int(white))[values]
