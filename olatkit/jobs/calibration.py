"""Calibration recordings to numbers: dark frames, flat field, colour matrix."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olatkit.capture.calibrate import find_bad_pixels, mean_dark
from olatkit.capture.chart import chart_patches, chart_reference, fit_color_matrix
from olatkit.capture.chart_finder import find_color_checker
from olatkit.capture.response import fit_flat_field
from olatkit.color import to_srgb8
from olatkit.errors import CaptureError, FormatError
from olatkit.io.sources import open_stream
from olatkit.io.streams import FrameStream
from olatkit.vision.demosaic import demosaic

MOST_FRAMES = 256  # of a calibration stream that are averaged


@dataclass(frozen=True, eq=False)
class CameraCalibration:
    """What was measured about the camera, each None where nothing was given.

    ``dark`` mean raw frame with the lights off, ``bad`` bad pixels, ``flat`` lens shading on the sensor,
    ``color_matrix`` camera RGB to linear Rec.709.
    """

    dark: np.ndarray | None = None
    bad: np.ndarray | None = None
    flat: np.ndarray | None = None
    color_matrix: np.ndarray | None = None


def read_calibration(
    stream: FrameStream,
    *,
    dark: Path | None = None,
    flat: Path | None = None,
    color: Path | None = None,
    color_corners: np.ndarray | None = None,
) -> CameraCalibration:
    """Read calibration recordings made with the camera of ``stream``.

    Parameters
    ----------
    stream : FrameStream
        The take they are for.
    dark : Path, optional
        Stream with the lights off; its mean is subtracted and its outliers are bad pixels.
    flat : Path, optional
        Stream of an evenly lit surface.
    color : Path, optional
        JSON file with a 3x3 matrix, or a stream whose first frame shows a ColorChecker.
    color_corners : ndarray, shape (4, 2), optional
        Corners of the chart's 24 patches in that frame, from dark skin clockwise; found if None.

    Raises
    ------
    CaptureError, FormatError
        Recordings of another size, no chart, a matrix that is none.
    """
    mean, bad = (None, None) if dark is None else _dark(dark, stream)
    return CameraCalibration(
        mean,
        bad,
        None if flat is None else _flat(flat, stream, mean),
        None if color is None else read_color_matrix(color, color_corners),
    )


def read_color_matrix(path: Path, corners: np.ndarray | None = None) -> np.ndarray:
    """The 3x3 matrix of a JSON file, or fitted to the ColorChecker in the first frame of a stream."""
    if path.suffix.lower() == ".json":
        try:
            matrix = np.asarray(json.loads(path.read_text()), float)
        except (OSError, ValueError, TypeError) as error:
            raise FormatError(f"{path}: {error}; expected a 3x3 matrix in JSON") from error
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise FormatError(f"{path}: holds an array of shape {matrix.shape}, expected a finite 3x3 matrix")
        return matrix
    chart = open_stream(path)
    picture = _linear(chart, chart.read(0, 1)[0].astype(np.float32), None)
    if corners is None:
        peak = float(np.percentile(picture, 99))
        corners = find_color_checker(to_srgb8(picture / peak))
    return fit_color_matrix(chart_patches(picture, corners), chart_reference())


def _dark(path: Path, stream: FrameStream) -> tuple[np.ndarray, np.ndarray]:
    """Mean frame of a stream with the lights off, and the bad pixels found in it."""
    off = _like(path, stream)
    mean = _mean_frame(off)
    return mean, find_bad_pixels(mean, bayer=stream.bayer)


def _flat(path: Path, stream: FrameStream, dark: np.ndarray | None) -> np.ndarray:
    """Lens shading at every raw value: a smooth fit per colour, picked at each pixel's own colour."""
    even = _like(path, stream)
    shading = fit_flat_field(_linear(even, _mean_frame(even), dark))
    if stream.bayer is None:
        return shading if len(stream.shape) == 3 else shading.mean(axis=2)
    out = np.empty(stream.shape, np.float32)
    for i, color in enumerate(stream.bayer):
        y, x = divmod(i, 2)
        out[y::2, x::2] = shading[y::2, x::2, "rgb".index(color)]
    return out


def _mean_frame(stream: FrameStream, block: int = 16) -> np.ndarray:
    """Mean of up to 256 frames, read a few at a time."""
    count = min(len(stream), MOST_FRAMES)
    starts = range(0, count, block)
    means = [mean_dark(stream.read(a, min(a + block, count))) * (min(a + block, count) - a) for a in starts]
    return np.asarray(np.sum(means, axis=0, dtype=np.float64) / count, np.float32)


def _linear(stream: FrameStream, frame: np.ndarray, dark: np.ndarray | None) -> np.ndarray:
    """A raw frame as linear RGB (H, W, 3), 1 = full scale."""
    black = stream.black_level if dark is None else dark
    linear = (frame - black) / np.float32(stream.white_level - stream.black_level)
    if stream.bayer is not None:
        return demosaic(linear, stream.bayer)
    return linear if linear.ndim == 3 else np.repeat(linear[..., None], 3, axis=2)


def _like(path: Path, stream: FrameStream) -> FrameStream:
    """Open a calibration stream; it must have the take's frame size and colours."""
    other = open_stream(path)
    if tuple(other.shape) != tuple(stream.shape) or other.bayer != stream.bayer:
        raise CaptureError(
            f"{path}: frames {other.shape} {other.bayer or 'without mosaic'}, the take has {stream.shape} "
            f"{stream.bayer or 'without mosaic'}; record both with the same settings"
        )
    return other
