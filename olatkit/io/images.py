"""Images on disk: Radiance HDR, 8/16-bit PNG, JPEG and TIFF, and OpenEXR through :mod:`olatkit.io.exr`.

One wrapper per format stands between the package and the libraries, because the libraries fail silently: OpenEXR
ignores NumPy strides, imageio reads .exr and .hdr as 8 bit, OpenCV's wheels cannot read .exr and use BGR order.
Arrays are rows top-down and RGB(A) in this package, without exception.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.exr import (
    EXR_MAGIC,
    check_shape,
    one_line,
    read_exr,
    read_exr_header,
    to_half,
    write_exr,
    write_exr_parts,
)
from olatkit.io.outputs import whole_file
from olatkit.io.png_text import with_text

__all__ = [
    "read_exr", "read_exr_header", "read_hdr", "read_image", "read_picture", "to_half", "write_exr", "write_exr_parts",
    "write_png",
]

HDR_MAGIC = (b"#?RADIANCE", b"#?RGBE")
# Formats that OpenCV decodes, and the bytes that end a complete file of each (None: the decoder notices itself).
PICTURE_MAGIC = {b"\x89PNG\r\n\x1a\n": b"IEND", b"\xff\xd8\xff": b"\xff\xd9", b"II*\x00": None, b"MM\x00*": None}

PathLike = str | os.PathLike[str]


def read_image(path: PathLike) -> np.ndarray:
    """Read any image that this package knows, by its content and not by its name.

    Returns
    -------
    ndarray, shape (H, W), (H, W, 3) or (H, W, 4)
        Values as stored: uint8 or uint16 for PNG, JPEG and TIFF (usually sRGB), float16 or float32 for EXR and
        float32 for Radiance HDR (linear).

    Raises
    ------
    FormatError
        The file is missing, damaged, or no image.
    """
    start = _read_bytes(path)[:16]
    if start.startswith(EXR_MAGIC):
        return read_exr(path)
    if start.startswith(HDR_MAGIC):
        return read_hdr(path)
    return read_picture(path)


def read_picture(path: PathLike) -> np.ndarray:
    """Read a PNG, JPEG or TIFF as stored: uint8, uint16 or float32, (H, W), RGB or RGBA; no transfer curve undone."""
    data = _read_bytes(path)
    ends = [end for magic, end in PICTURE_MAGIC.items() if data.startswith(magic)]
    if not ends:
        raise FormatError(f"{path}: not an image (starts with {data[:4]!r}), expected EXR, HDR, PNG, JPEG or TIFF")
    if ends[0] is not None and ends[0] not in data[-4096:]:
        raise FormatError(f"{path}: truncated image ({len(data)} bytes without an end mark); copy the file again")
    image = _decode(path, data)
    return image if image.ndim == 2 else _swap_red_blue(image)


def write_png(
    path: PathLike, image: np.ndarray, *, texts: Mapping[str, object] | None = None, overwrite: bool = False
) -> None:
    """Write uint8 or uint16 (H, W), (H, W, 3) RGB or (H, W, 4) RGBA as PNG, bit for bit; ``texts`` by keyword beside it.

    Raises
    ------
    TypeError
        Another dtype: encoding linear light is the caller's decision (``olatkit.color.to_srgb8``).
    """
    import cv2

    if image.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"{path}: PNG holds uint8 or uint16, not {image.dtype}; encode with olatkit.color.to_srgb8")
    check_shape(path, image)
    stored = np.ascontiguousarray(image if image.ndim == 2 else _swap_red_blue(image))
    with whole_file(path, overwrite=overwrite) as part:
        part.write_bytes(with_text(cv2.imencode(".png", stored)[1].tobytes(), texts or {}))


def read_hdr(path: PathLike) -> np.ndarray:
    """Read a Radiance RGBE picture.

    Returns
    -------
    ndarray, shape (H, W, 3), float32
        Linear RGB; an ``EXPOSURE`` in the header is divided out, as the format demands.

    Raises
    ------
    FormatError
        The file is missing, damaged, not Radiance, XYZE-coded, or stored in another scan order.
    """
    data = _read_bytes(path)
    if not data.startswith(HDR_MAGIC):
        raise FormatError(f"{path}: not a Radiance HDR file (starts with {data[:10]!r}, expected '#?RADIANCE')")
    header = data[: data.find(b"\n\n") + 1].decode("latin-1")
    kind = re.search(r"^FORMAT=(\S+)", header, re.MULTILINE)
    if kind and kind[1] != "32-bit_rle_rgbe":
        raise FormatError(f"{path}: pixels are coded as '{kind[1]}', expected 32-bit_rle_rgbe; convert the file to RGB")
    image = _decode(path, data)
    if image.dtype != np.float32 or image.ndim != 3:
        raise FormatError(f"{path}: decoded as {image.dtype} {image.shape}, expected float32 RGB")
    exposures = [float(value) for value in re.findall(r"^EXPOSURE=\s*([-+.\deE]+)", header, re.MULTILINE)]
    exposure = float(np.prod(exposures)) if exposures else 1.0
    if not (np.isfinite(exposure) and exposure > 0):
        raise FormatError(f"{path}: EXPOSURE in the header is {exposure:g}, expected a positive number")
    image = _swap_red_blue(image)
    return image if exposure == 1 else image / np.float32(exposure)


def _read_bytes(path: PathLike) -> bytes:
    """Content of a file; one-line FormatError if it is missing, a folder or empty."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from error
    if not data:
        raise FormatError(f"{path}: the file is empty, expected an image")
    return data


def _decode(path: PathLike, data: bytes) -> np.ndarray:
    """Decode with OpenCV, unchanged depth and channels (still BGR)."""
    import cv2

    with _quiet_opencv():
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            raise FormatError(f"{path}: damaged image: {one_line(error)}") from error
    if image is None:
        raise FormatError(f"{path}: damaged or truncated image ({len(data)} bytes); copy or export the file again")
    return image


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's own log off the terminal: the exception says it in one line."""
    import cv2

    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _swap_red_blue(image: np.ndarray) -> np.ndarray:
    """BGR(A) to RGB(A) and back, as a contiguous copy."""
    return np.ascontiguousarray(image[..., [2, 1, 0, 3][: image.shape[2]]])
