"""Camera raw files (DNG and makers' own) as mosaics, through LibRaw: the optional package rawpy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import ConfigError, FormatError

RAW_SUFFIXES = (".dng", ".arw", ".cr2", ".cr3", ".nef", ".orf", ".raf", ".rw2")


@dataclass(frozen=True, eq=False)
class CameraRaw:
    """Values as stored, and what a camera raw file states of them.

    ``values`` (H, W) for a mosaic; ``black_level`` (H, W) float32; ``white_level``; ``bayer`` the pattern of the top-left
    2x2 pixels. Other pictures have values only.
    """

    values: np.ndarray
    black_level: Any = None
    white_level: float = 1.0
    bayer: str | None = None


def read_camera_raw(path: Path) -> CameraRaw:
    """Read mosaic, levels and pattern.

    Raises
    ------
    ConfigError
        The package rawpy is missing.
    FormatError
        A damaged file, or a sensor without a 2x2 Bayer pattern.
    """
    try:
        import rawpy
    except ImportError:
        raise ConfigError(
            f"{path}: camera raw needs the package rawpy: pip install 'olatkit[raw]', or convert the pictures to linear "
            "16-bit TIFF"
        ) from None
    with _rawpy_errors(path), rawpy.imread(str(path)) as raw:
        values = np.array(raw.raw_image_visible)
        if values.ndim != 2 or raw.raw_pattern is None or raw.raw_pattern.shape != (2, 2):
            raise FormatError(f"{path}: its sensor has no 2x2 Bayer pattern; convert it to linear 16-bit TIFF")
        colors = raw.raw_colors_visible
        levels = np.asarray(raw.black_level_per_channel, np.float32)[colors]
        letters = raw.color_desc.decode("ascii").lower()
        pattern = "".join(letters[colors[y, x]] for y in (0, 1) for x in (0, 1))
        return CameraRaw(values, levels, float(raw.white_level), pattern)


@contextmanager
def _rawpy_errors(path: Path) -> Iterator[None]:
    """LibRaw's errors as one line."""
    import rawpy

    try:
        yield
    except (rawpy.LibRawError, OSError) as error:
        raise FormatError(f"{path}: cannot be read as camera raw: {error}") from error
