"""Streams from a folder of numbered images."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olatkit.errors import FormatError
from olatkit.io.camera_raw import RAW_SUFFIXES, CameraRaw, read_camera_raw
from olatkit.io.images import read_image
from olatkit.io.sidecar import Sidecar, make_stream, read_sidecar
from olatkit.io.sources import ArrayStream
from olatkit.io.transfer import make_transfer_table, parse_transfer
from olatkit.wording import counted

SUFFIXES = (".png", ".tif", ".tiff", ".exr", ".hdr", *RAW_SUFFIXES)


@dataclass(frozen=True)
class ImageFrames:
    """Images of one folder as frames, decoded on demand.

    Attributes
    ----------
    paths : tuple of Path
        One image per frame.
    shape : tuple
        (N, H, W) or (N, H, W, 3).
    stored : numpy dtype
        Type of the values in the files, float16 counting as float32.
    transfer : str or float
        Curve to undo; 'linear' leaves integers as they are.
    """

    paths: tuple[Path, ...]
    shape: tuple[int, ...]
    stored: np.dtype
    transfer: str | float

    @property
    def dtype(self) -> np.dtype:
        return self.stored if self.transfer == "linear" else np.dtype(np.float32)

    def __getitem__(self, frames: slice) -> np.ndarray:
        start, stop, _ = frames.indices(self.shape[0])
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        for path, frame in zip(self.paths[start:stop], out, strict=True):
            image = _read(path)
            if image.shape != frame.shape or image.dtype != self.stored:
                raise FormatError(
                    f"{path}: {image.shape} {image.dtype}, expected {frame.shape} {self.stored} like the first image"
                )
            frame[:] = image if self.transfer == "linear" else self._table[image]
        return out

    @property
    def _table(self) -> np.ndarray:
        return make_transfer_table(self.transfer, 256 if self.stored == np.uint8 else 65536)


def open_image_folder(path: str | os.PathLike[str], *, transfer: str | float | None = None) -> ArrayStream:
    """Open a folder of images of one kind (PNG, TIFF, EXR, HDR, DNG), numbered in their names, with ``stream.json``.

    Parameters
    ----------
    path : path-like
        The folder; frames are in the order of the last number of their names. The keys of ``stream.json`` are
        described in :mod:`olatkit.io.sidecar`; camera raw files state pattern and levels themselves.
    transfer : {'linear', 'srgb', 'rec709'} or float, optional
        Curve of 8- and 16-bit images; wins over ``transfer`` of the sidecar. One of them must name it unless the
        sidecar names a Bayer pattern, which makes the images linear. Frames of a curve are float32, 0 to 1.

    Raises
    ------
    FormatError
        If there are no images, images of several kinds, a gap in the numbers without ``times_s`` in the sidecar, or
        the images and the sidecar do not fit together.
    """
    folder = Path(path)
    paths, numbers = _list_images(folder)
    sidecar_path = folder / "stream.json"
    sidecar = read_sidecar(sidecar_path)
    _check_gaps(folder, numbers, sidecar)
    first = _read(paths[0])
    if paths[0].suffix.lower() in RAW_SUFFIXES:
        sidecar = _with_what_the_camera_states(sidecar, read_camera_raw(paths[0]), paths[0])
    curve = _pick_transfer(first, sidecar, sidecar_path, transfer)
    if curve != "linear" and (sidecar.white_level is not None or sidecar.black_level):
        raise FormatError(f"{sidecar_path}: levels belong to linear images, but transfer is {curve!r}; leave them out")
    frames = ImageFrames(tuple(paths), (len(paths), *first.shape), first.dtype, curve)
    return make_stream(frames, sidecar, folder, sidecar_path)


def _with_what_the_camera_states(sidecar: Sidecar, raw: CameraRaw, path: Path) -> Sidecar:
    """Pattern and levels of a camera raw file where the sidecar does not say them."""
    stated = {"bayer": raw.bayer, "black_level": float(raw.black_level[0, 0]), "white_level": raw.white_level}
    missing = {key: value for key, value in stated.items() if key not in sidecar.model_fields_set}
    if "black_level" in missing and np.ptp(raw.black_level) > 0:
        levels = np.unique(raw.black_level).tolist()
        raise FormatError(f"{path}: its colours have black levels {levels}; state one as black_level in stream.json")
    return sidecar.model_copy(update=missing)


def _list_images(folder: Path) -> tuple[list[Path], list[int]]:
    """Images of the folder and their numbers, in the order of the numbers."""
    files = sorted(item for item in folder.iterdir() if item.is_file() and not item.name.startswith("."))
    images = [item for item in files if item.suffix.lower() in SUFFIXES]
    kinds = sorted({item.suffix.lower() for item in images})
    if len(kinds) != 1:
        raise FormatError(f"{folder}: images of kinds {kinds or 'none'}, expected one kind of {', '.join(SUFFIXES)}")
    found: dict[int, Path] = {}
    for item in images:
        digits = re.findall(r"\d+", item.stem)
        if not digits:
            raise FormatError(f"{item}: no number in the name, expected names like frame_0001{kinds[0]}")
        if int(digits[-1]) in found:
            raise FormatError(f"{item}: same number {digits[-1]} as {found[int(digits[-1])].name}")
        found[int(digits[-1])] = item
    numbers = sorted(found)
    return [found[number] for number in numbers], numbers


def _check_gaps(folder: Path, numbers: list[int], sidecar: Sidecar) -> None:
    """A missing number would shift the time of all later frames."""
    missing = set(range(numbers[0], numbers[0] + len(numbers))).difference(numbers)
    if missing and sidecar.times_s is None:
        raise FormatError(
            f"{folder}: image number {min(missing)} is missing ({numbers[0]} to {numbers[-1]}, "
            f"{counted(len(numbers), 'image')}); "
            "restore it, or give times_s in stream.json"
        )


def _pick_transfer(
    image: np.ndarray, sidecar: Sidecar, sidecar_path: Path, transfer: str | float | None
) -> str | float:
    """The curve to undo: as given, as the sidecar says, none for floats and mosaics."""
    given = sidecar.transfer if transfer is None else transfer
    if given is None and (image.dtype == np.float32 or sidecar.bayer):
        return "linear"
    if given is None:
        raise FormatError(
            f"{sidecar_path}: transfer is missing; say 'linear', 'srgb', 'rec709' or a gamma for {image.dtype} images"
        )
    try:
        curve = parse_transfer(given)
    except ValueError as error:
        raise FormatError(f"{sidecar_path}: {error}") from None
    if curve != "linear" and (image.dtype == np.float32 or sidecar.bayer):
        raise FormatError(f"{sidecar_path}: transfer is {curve!r}, but mosaics and float images are linear")
    return curve


def _read(path: Path) -> np.ndarray:
    """One image as (H, W) or (H, W, 3), half floats as float32."""
    if path.suffix.lower() in RAW_SUFFIXES:
        return read_camera_raw(path).values
    image = read_image(path)
    if image.ndim == 3 and image.shape[2] != 3:
        raise FormatError(f"{path}: {image.shape[2]} channels, expected grey, mosaic or RGB without transparency")
    if image.dtype == np.float16:
        image = image.astype(np.float32)
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise FormatError(f"{path}: values are {image.dtype}, expected uint8, uint16 or float")
    return image
