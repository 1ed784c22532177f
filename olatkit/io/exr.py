"""OpenEXR files; the wrapper through which every .exr of this package goes.

The OpenEXR module ignores NumPy strides, refuses float64, drops damaged parts in silence and groups channels by
name; nothing of that gets past this module.
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.outputs import whole_file
from olatkit.io.silence import silence
from olatkit.wording import counted

EXR_MAGIC = b"\x76\x2f\x31\x01"
EXR_COMPRESSIONS = ("zip", "zips", "piz", "pxr24", "rle", "no", "b44", "b44a", "dwaa", "dwab")
HALF_MAX = 65504.0

PathLike = str | os.PathLike[str]


def read_exr(path: PathLike, *, part: int | str = 0, layer: str | None = None) -> np.ndarray:
    """Read the picture of an OpenEXR file, placed in its display window.

    Parameters
    ----------
    part : int or str
        Index or name of the part of a multi-part file.
    layer : str, optional
        Channel prefix such as ``ViewLayer.Combined``; by default the unnamed layer, or the only one there is.

    Returns
    -------
    ndarray, shape (H, W) for one channel, (H, W, 3) for RGB, (H, W, 4) for RGBA; float16 or float32
        Linear. Pixels of the display window outside the data window are zero; overscan is cut.

    Raises
    ------
    FormatError
        The file is missing, damaged or not EXR, or holds neither RGB, RGBA nor a single channel.
    """
    parts = _exr_parts(path)
    names = [item.name() for item in parts]
    index = names.index(part) if isinstance(part, str) and part in names else part
    if not isinstance(index, int) or not 0 <= index < len(parts):
        known = names if any(names) else list(range(len(parts)))
        raise FormatError(f"{path}: has no part {part!r}; its parts are {known}")
    chosen = parts[index]
    planes = _pick_planes(path, {name: channel.pixels for name, channel in chosen.channels.items()}, layer)
    image = planes[0] if len(planes) == 1 else np.stack(planes, axis=-1)
    return _place_window(image, chosen.header["dataWindow"], chosen.header["displayWindow"])


def read_exr_header(path: PathLike) -> dict[str, Any]:
    """Header of the first part of an OpenEXR file, without its pixels."""
    return dict(_exr_parts(path, header_only=True)[0].header)


def write_exr(
    path: PathLike, image: np.ndarray, *, compression: str = "zip", attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a linear image as OpenEXR with any strides; the channels are Y, RGB or RGBA.

    Parameters
    ----------
    image : ndarray, shape (H, W), (H, W, 3) or (H, W, 4), float16, float32 or float64
        float16 is stored as half, float32 and float64 as float. Nothing is clipped: convert to half with
        :func:`to_half`, which refuses what half cannot hold.
    compression : str
        One of ``EXR_COMPRESSIONS``; b44 and dwa lose precision.
    attributes : mapping, optional
        Header entries: numbers, strings, or windows as pairs of corners ((x0, y0), (x1, y1)).

    Raises
    ------
    TypeError, ValueError
        Integers, other shapes, finite values beyond float32, an unknown compression.
    OutputExistsError
        The file exists and ``overwrite`` is false.
    """
    write_exr_parts(path, {"": image}, compression=compression, attributes=attributes, overwrite=overwrite)


def write_exr_parts(
    path: PathLike, images: Mapping[str, np.ndarray], *, compression: str = "zip",
    attributes: Mapping[str, Any] | None = None, overwrite: bool = False,
) -> None:
    """Write several named images as one multi-part OpenEXR file; see :func:`write_exr`."""
    import OpenEXR

    if compression not in EXR_COMPRESSIONS:
        raise ValueError(f"unknown EXR compression '{compression}', expected one of {', '.join(EXR_COMPRESSIONS)}")
    header = {"compression": getattr(OpenEXR, f"{compression.upper()}_COMPRESSION"), "type": OpenEXR.scanlineimage}
    header |= {name: _exr_attribute(value) for name, value in (attributes or {}).items()}
    parts = [OpenEXR.Part(dict(header), _exr_channels(path, image), name) for name, image in images.items()]
    with whole_file(path, overwrite=overwrite) as part:
        try:
            OpenEXR.File(parts).write(str(part))
        except RuntimeError as error:
            raise OSError(f"{path}: cannot be written: {one_line(error)}") from error


def to_half(image: np.ndarray) -> np.ndarray:
    """Convert to float16, refusing what it cannot hold.

    Raises
    ------
    ValueError
        A finite value is beyond ±65504 and would become infinite; suns often are. Store float32 then.
    """
    finite = np.isfinite(image)
    over = finite & (np.abs(image) > HALF_MAX)
    if over.any():
        peak = float(np.abs(image[over]).max())
        raise ValueError(f"{counted(int(over.sum()), 'value')} up to {peak:g} beyond half floats (65504); store "
                         "32-bit floats")
    return image.astype(np.float16)


def _exr_parts(path: PathLike, *, header_only: bool = False) -> list[Any]:
    """All parts of an EXR file with separate channels; the reader itself drops damaged parts without an error."""
    import OpenEXR

    if not _read_start(path).startswith(EXR_MAGIC):
        raise FormatError(f"{path}: not an OpenEXR file (starts with {_read_start(path)!r})")
    try:
        with silence():
            expected = len(OpenEXR.File(str(path), header_only=True).parts)
            parts = OpenEXR.File(str(path), separate_channels=True, header_only=header_only).parts
    except (RuntimeError, ValueError, TypeError) as error:
        raise FormatError(f"{path}: damaged OpenEXR file: {one_line(error)}") from error
    if not parts or len(parts) != expected:
        raise FormatError(f"{path}: truncated or damaged OpenEXR file: {len(parts)} of {expected} parts can be read")
    return list(parts)


def _read_start(path: PathLike) -> bytes:
    """First four bytes; one-line FormatError if the file cannot be opened."""
    try:
        with open(path, "rb") as file:
            return file.read(4)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from error


def _pick_planes(path: PathLike, channels: dict[str, np.ndarray], layer: str | None) -> list[np.ndarray]:
    """The planes R, G, B(, A) of a layer, or its single channel."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, pixels in channels.items():
        prefix, _, letter = name.rpartition(".")
        # A three-channel group written under a name, "diffuse.RGB", comes back as "diffuse.RGB.R".
        layers.setdefault(prefix.removesuffix(".RGBA").removesuffix(".RGB"), {})[letter] = pixels
    if layer is None:
        layer = "" if "" in layers else next(iter(layers)) if len(layers) == 1 else None
    planes = layers.get(layer, {}) if layer is not None else {}
    if all(letter in planes for letter in "RGB"):
        return [planes[letter] for letter in "RGBA" if letter in planes]
    if "Y" in planes and "RY" not in planes:
        return [planes["Y"]]
    if len(planes) == 1:
        return list(planes.values())
    found = ", ".join(sorted(channels))
    raise FormatError(f"{path}: expected channels R, G, B (A) or one channel, found {found}; name a layer")


def _place_window(image: np.ndarray, data: Any, display: Any) -> np.ndarray:
    """Pixels of the data window inside the display window, zeros elsewhere."""
    (dx0, dy0), (dx1, dy1) = np.asarray(data[0], int), np.asarray(data[1], int)
    (x0, y0), (x1, y1) = np.asarray(display[0], int), np.asarray(display[1], int)
    if (dx0, dy0, dx1, dy1) == (x0, y0, x1, y1):
        return image
    out = np.zeros((y1 - y0 + 1, x1 - x0 + 1, *image.shape[2:]), image.dtype)
    left, right, top, bottom = max(x0, dx0), min(x1, dx1) + 1, max(y0, dy0), min(y1, dy1) + 1
    if left < right and top < bottom:
        out[top - y0 : bottom - y0, left - x0 : right - x0] = image[top - dy0 : bottom - dy0, left - dx0 : right - dx0]
    return out


def _exr_channels(path: PathLike, image: np.ndarray) -> dict[str, np.ndarray]:
    """Channel dictionary of one part: one dtype, C-contiguous, because OpenEXR ignores strides."""
    image = np.asarray(image)
    check_shape(path, image)
    if image.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(f"{path}: EXR holds float16 or float32 light here, not {image.dtype}; convert to linear floats")
    if image.dtype == np.float64 and (np.isfinite(image) & (np.abs(image) > np.finfo(np.float32).max)).any():
        raise ValueError(f"{path}: values beyond {np.finfo(np.float32).max:g} do not fit 32-bit floats")
    name = "Y" if image.ndim == 2 else {3: "RGB", 4: "RGBA"}[image.shape[2]]
    return {name: np.ascontiguousarray(image, np.float16 if image.dtype == np.float16 else np.float32)}


def _exr_attribute(value: Any) -> Any:
    """Windows become the pair of int32 arrays that OpenEXR insists on; the rest passes."""
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(np.shape(corner) == (2,) for corner in value):
        return tuple(np.asarray(corner, np.int32) for corner in value)
    return value


def check_shape(path: PathLike, image: np.ndarray) -> None:
    """Refuse what is no picture: (H, W), (H, W, 3) and (H, W, 4) pass."""
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)) or 0 in image.shape:
        raise ValueError(f"{path}: image has shape {image.shape}, expected (H, W), (H, W, 3) or (H, W, 4)")


def one_line(error: Exception) -> str:
    """A library's message without its line breaks."""
    return " ".join(str(error).split())
