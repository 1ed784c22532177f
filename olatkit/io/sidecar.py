"""The JSON document beside frames whose own format does not say what they mean.

It lies beside ``NAME.npy`` and ``NAME.raw`` as ``NAME.json`` and in a folder of images as ``stream.json``::

    {"frame_rate_hz": 1000, "bayer": "gbrg", "black_level": 64, "white_level": 4095}

==================  ==================================================================================================
frame_rate_hz       nominal rate; required
bayer               'gbrg', 'rggb', 'grbg' or 'bggr' (top-left 2x2 pixels, row by row); absent for mono and colour
black_level         value that means no light; default 0
white_level         value that means full scale; default 255 for 8 bits and 1 for floats, required for 16 bits
transfer            'linear', 'srgb', 'rec709' or a gamma; images of 8 and 16 bits only, required unless ``bayer``
times_s             time of every frame, rising
exposure_s          exposure time, one number or one of every frame
white_balance       gains R, G, B that the camera recorded
width, height       pixels; raw files only, required
packing             'u8', 'u16', 'p10' or 'p12l' (little endian, rows top-down); raw files only, required
header_bytes        bytes to skip at the start of a raw file; default 0
==================  ==================================================================================================

Images of a camera's raw format (``.dng`` and others) state pattern and levels; keys of the sidecar win over them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from olatkit.errors import FormatError
from olatkit.io.sources import ArrayStream, Frames
from olatkit.wording import called


class Sidecar(pydantic.BaseModel):
    """Checked content of a sidecar; see the module for the meaning of the keys."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    frame_rate_hz: pydantic.PositiveFloat
    bayer: str | None = None
    black_level: float = 0.0
    white_level: float | None = None
    transfer: str | float | None = None
    times_s: list[float] | None = None
    exposure_s: float | list[float] | None = None
    white_balance: tuple[float, float, float] | None = None
    width: pydantic.PositiveInt | None = None
    height: pydantic.PositiveInt | None = None
    packing: str | None = None
    header_bytes: pydantic.NonNegativeInt = 0


def read_sidecar(path: Path) -> Sidecar:
    """Read and check a sidecar; FormatError names the file and the key."""
    if not path.is_file():
        raise FormatError(f'{path}: missing; it must say at least {{"frame_rate_hz": 1000}} about the frames beside it')
    try:
        return Sidecar(**_read_object(path))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise FormatError(
            f"{path}: key '{key}': {first['msg']}; known keys: {', '.join(Sidecar.model_fields)}"
        ) from None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise FormatError(f"{path}: holds {called(content)}, expected an object with 'frame_rate_hz'")
    return content


def make_stream(frames: Frames, sidecar: Sidecar, path: Path, sidecar_path: Path) -> ArrayStream:
    """Frames and what the sidecar says of them; FormatError if they do not fit together."""
    white_level = sidecar.white_level
    if white_level is None:
        if frames.dtype == np.uint16:
            raise FormatError(f"{sidecar_path}: white_level is missing; frames of 16 bits need it (for example 4095)")
        white_level = 255.0 if frames.dtype == np.uint8 else 1.0
    try:
        return ArrayStream(
            frames,
            sidecar.frame_rate_hz,
            bayer=sidecar.bayer,
            black_level=sidecar.black_level,
            white_level=white_level,
            times_s=None if sidecar.times_s is None else np.array(sidecar.times_s),
            exposure_s=None if sidecar.exposure_s is None else np.array(sidecar.exposure_s),
            white_balance=sidecar.white_balance,
            name=str(path),
        )
    except ValueError as error:
        raise FormatError(f"{sidecar_path}: {error}") from None
