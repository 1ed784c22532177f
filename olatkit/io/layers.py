"""Pictures that are laid over and under relit ones: backgrounds and mattes; and folders of numbered pictures."""

import os
import re
from pathlib import Path

import numpy as np

from olatkit.color import decode_srgb
from olatkit.errors import FormatError
from olatkit.io.images import read_image

MAP_SUFFIXES = (".hdr", ".exr", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
MATTE_SUFFIXES = (".png", ".tif", ".tiff", ".exr")


def list_pictures(folder: str | os.PathLike[str], suffixes: tuple[str, ...]) -> list[Path]:
    """Pictures of a folder in natural order: sky_2 stands before sky_10.

    Raises
    ------
    FormatError
        The folder cannot be read, or none of its files has one of the suffixes.
    """
    folder = Path(folder)
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    except FileNotFoundError as error:
        raise FormatError(f"{folder}: no such folder") from error
    except OSError as error:
        raise FormatError(f"{folder}: cannot be read: {error.strerror}") from error
    if not found:
        raise FormatError(f"{folder}: holds no picture, expected files ending in {', '.join(suffixes)}")
    return sorted(found, key=lambda path: [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)
    ])


def read_background(path: str | os.PathLike[str]) -> np.ndarray:
    """A background as linear light in which 1 is the white of a display, shape (H, W, 3), float32.

    PNG, JPEG and TIFF are decoded from sRGB, EXR and HDR taken as they are; alpha is ignored.
    """
    image = read_image(path)
    rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
    if np.issubdtype(rgb.dtype, np.integer):
        rgb = decode_srgb(rgb.astype(np.float32) / np.iinfo(rgb.dtype).max)
    if not np.isfinite(rgb).all():
        raise FormatError(f"{path}: holds values that are not finite; a background must be a picture without holes")
    return rgb.astype(np.float32)


def read_matte(path: str | os.PathLike[str], shape: tuple[int, int]) -> np.ndarray:
    """Coverage by the subject, 0 to 1, shape (H, W), float32: alpha if there is one, else the mean of the channels.

    Integers are linear, their largest value is 1.

    Raises
    ------
    FormatError
        Not a picture, another size than ``shape``, values outside 0 to 1.
    """
    image = read_image(path)
    plane = image if image.ndim == 2 else image[..., 3] if image.shape[2] == 4 else image.mean(axis=2)
    white = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1.0
    matte = (plane / white).astype(np.float32)
    if matte.shape != shape:
        raise FormatError(f"{path}: the matte is {matte.shape[1]}x{matte.shape[0]}, the take {shape[1]}x{shape[0]}")
    if not (matte.min() >= 0 and matte.max() <= 1.001):
        raise FormatError(f"{path}: the matte runs from {matte.min():g} to {matte.max():g}, expected 0 to 1")
    return matte
