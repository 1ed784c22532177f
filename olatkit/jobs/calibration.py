"""Calibration recordings to numbers: dark frames, flat field, response curve, noise, colour matrix."""

import json
import logging
from pathlib import Path

import numpy as np

from olatkit.capture.calibrate import find_bad_pixels, mean_dark, photon_transfer
from olatkit.capture.camera import CameraCalibration
from olatkit.capture.chart import chart_error, chart_patches, chart_reference, fit_color_matrix
from olatkit.capture.chart_finder import find_color_checker
from olatkit.capture.response import fit_flat_field, fit_linearisation, linearise
from olatkit.color import to_srgb8
from olatkit.errors import CaptureError, FormatError
from olatkit.io.documents import read_json
from olatkit.io.sources import open_stream
from olatkit.io.streams import FrameStream
from olatkit.vision.demosaic import demosaic
from olatkit.wording import counted

log = logging.getLogger(__name__)

MOST_FRAMES = 256  # of a calibration stream that are averaged
NOISE_PAIRS = 8  # pairs of frames from which noise is measured
NOISE_CEILING = 0.9  # of full scale, above which a pixel's noise is cut off


def read_calibration(
    stream: FrameStream,
    *,
    dark: Path | None = None,
    flat: Path | None = None,
    linearity: Path | None = None,
    color: Path | None = None,
    color_corners: np.ndarray | None = None,
    shielded: tuple[int, int] | None = None,
) -> CameraCalibration:
    """Read calibration recordings made with the camera of ``stream``.

    Parameters
    ----------
    stream : FrameStream
        The take they are for.
    dark : Path, optional
        Stream with the lights off; its mean is subtracted and its outliers are bad pixels.
    flat : Path, optional
        Stream of an evenly lit surface: lens shading, and pixels that stay dark. With ``dark``, also the noise.
    linearity : Path, optional
        JSON file of :func:`read_linearity`.
    color : Path, optional
        JSON file with a 3x3 matrix, or a stream whose first frame shows a ColorChecker.
    color_corners : ndarray, shape (4, 2), optional
        Corners of the chart's 24 patches in that frame, from dark skin clockwise; found if None.
    shielded : tuple of int, optional
        First and one past the last column that no light reaches; the lens shading is not fitted there.

    Raises
    ------
    CaptureError, FormatError
        Recordings of another size, no chart, a matrix or a curve that is none.
    """
    off = None if dark is None else _like(dark, stream)
    even = None if flat is None else _like(flat, stream)
    table = None if linearity is None else read_linearity(linearity, stream)
    mean = None if off is None else _mean_frame(off)
    lit = None if even is None else _mean_frame(even) - (stream.black_level if mean is None else mean)
    bad = None
    if mean is not None or lit is not None:
        unlit = np.full(stream.shape, stream.black_level, np.float32) if mean is None else mean
        bad = find_bad_pixels(unlit, bayer=stream.bayer, flat=lit)
    shading = None if lit is None else _shading(stream, lit, table, shielded)
    noise = None
    if off is not None and even is not None and mean is not None and lit is not None:
        noise = _noise(off, even, mean, lit, table)
    matrix, error = (None, None) if color is None else _color(color, color_corners, table)
    full_well, read_noise = noise or (None, None)
    return CameraCalibration(
        dark=mean, bad=bad, linearity=table, flat=shading, color_matrix=matrix, color_error=error,
        full_well_e=full_well, read_noise_e=read_noise,
    )


def read_color_matrix(path: Path, corners: np.ndarray | None = None) -> np.ndarray:
    """The 3x3 matrix of a JSON file, or fitted to the ColorChecker in the first frame of a stream."""
    return _color(path, corners, None)[0]


def read_linearity(path: Path, stream: FrameStream) -> np.ndarray:
    """Light at every whole sensor value above black, 1 = full scale.

    Parameters
    ----------
    path : Path
        JSON with either ``levels`` and ``exposures``, mean values above black of one patch and the exposures at which
        they were recorded (any unit), or ``table``, the light at evenly spaced values from black to full scale.
    stream : FrameStream
        The take, for its levels.

    Returns
    -------
    ndarray, shape (K,), float32
        0 at black.

    Raises
    ------
    CaptureError, FormatError
        The file holds no curve, or one that falls.
    """
    span = float(stream.white_level - stream.black_level)
    size = int(np.ceil(span)) + 1
    document = read_json(path, "the response of a sensor, an exposure ramp or a table, in JSON")
    try:
        curve = {name: np.asarray(document[name], float) for name in ("levels", "exposures", "table") if name in document}
    except (ValueError, TypeError) as error:
        raise FormatError(f"{path}: {error}; expected lists of numbers") from error
    if curve.keys() == {"levels", "exposures"} and curve["levels"].ndim == 1 and len(curve["levels"]) > 2:
        if curve["levels"].shape != curve["exposures"].shape:
            raise FormatError(
                f"{path}: {counted(curve['levels'].size, 'level')} and "
                f"{counted(curve['exposures'].size, 'exposure')}, expected as many"
            )
        table = fit_linearisation(curve["levels"], curve["exposures"], size=size)
    elif curve.keys() == {"table"} and curve["table"].ndim == 1 and len(curve["table"]) > 1:
        entries = curve["table"]
        if not (np.isfinite(entries).all() and (np.diff(entries) >= 0).all() and entries[-1] > entries[0]):
            raise FormatError(f"{path}: the table does not rise everywhere, expected light at rising sensor values")
        table = np.interp(np.arange(size), np.linspace(0, span, len(entries)), entries - entries[0])
    else:
        raise FormatError(
            f"{path}: holds {', '.join(curve) or 'none of them'}, expected three or more levels and their exposures, or a "
            "table of two or more entries"
        )
    return np.asarray(table / np.interp(span, np.arange(size), table), np.float32)


def _color(
    path: Path, corners: np.ndarray | None, table: np.ndarray | None
) -> tuple[np.ndarray, tuple[float, float] | None]:
    """Colour matrix, and the mean and largest ΔE*ab that it leaves on the chart (None for a matrix from a file)."""
    if path.suffix.lower() == ".json":
        try:
            matrix = np.asarray(json.loads(path.read_text()), float)
        except OSError as error:
            raise FormatError(f"{path}: {error.strerror or error}") from error
        except (ValueError, TypeError) as error:
            raise FormatError(f"{path}: {error}; expected a 3x3 matrix in JSON") from error
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise FormatError(f"{path}: holds an array of shape {matrix.shape}, expected a finite 3x3 matrix")
        return matrix, None
    chart = open_stream(path)
    picture = _linear(chart, chart.read(0, 1)[0].astype(np.float32) - np.float32(chart.black_level), table)
    if corners is None:
        peak = float(np.percentile(picture, 99))
        corners = find_color_checker(to_srgb8(picture / peak))
    measured, reference = chart_patches(picture, corners), chart_reference()
    matrix = fit_color_matrix(measured, reference)
    residual = chart_error(measured, reference, matrix)
    return matrix, (float(np.nanmean(residual)), float(np.nanmax(residual)))


def _shading(
    stream: FrameStream, lit: np.ndarray, table: np.ndarray | None, shielded: tuple[int, int] | None
) -> np.ndarray:
    """Lens shading at every raw value: a smooth fit per colour, picked at each pixel's own colour; 1 under shields."""
    rgb = _linear(stream, lit, table)
    first, stop = _open_columns(rgb.shape[1], shielded)
    shading = np.ones(rgb.shape, np.float32)
    shading[:, first:stop] = fit_flat_field(rgb[:, first:stop])
    if stream.bayer is None:
        return shading if len(stream.shape) == 3 else shading.mean(axis=2)
    out = np.empty(stream.shape, np.float32)
    for i, color in enumerate(stream.bayer):
        y, x = divmod(i, 2)
        out[y::2, x::2] = shading[y::2, x::2, "rgb".index(color)]
    return out


def _open_columns(width: int, shielded: tuple[int, int] | None) -> tuple[int, int]:
    """The wider part of the columns beside the shielded ones, without those that demosaicing mixes with them."""
    if shielded is None:
        return 0, width
    mixed = 4
    parts = (0, shielded[0] - mixed), (shielded[1] + mixed, width)
    return max(parts, key=lambda part: part[1] - part[0])


def _noise(
    off: FrameStream, even: FrameStream, mean: np.ndarray, lit: np.ndarray, table: np.ndarray | None
) -> tuple[float, float] | None:
    """Electrons at full scale and read noise in electrons, by photon transfer; None where frames cannot tell."""
    count = min(len(off), len(even), 2 * NOISE_PAIRS) // 2 * 2
    span = np.float32(even.white_level - even.black_level)
    use = (lit > 0) & (lit < NOISE_CEILING * span)
    if count < 2 or use.sum() < 1000:
        log.warning("noise: not measured, dark and flat recordings need two frames and 1000 unsaturated pixels each")
        return None
    pairs = []
    for stream in (off, even):
        values = stream.read(0, count)[:, use].astype(np.float32) - mean[use]
        light = values / span if table is None else linearise(values, table)
        pairs.append(np.stack([light[0::2], light[1::2]]))
    try:
        gain, read_noise = photon_transfer(pairs)
    except CaptureError as error:
        log.warning("noise: not measured, %s", error)
        return None
    return 1 / gain, read_noise / gain


def _mean_frame(stream: FrameStream, block: int = 16) -> np.ndarray:
    """Mean of up to 256 frames, read a few at a time."""
    count = min(len(stream), MOST_FRAMES)
    starts = range(0, count, block)
    means = [mean_dark(stream.read(a, min(a + block, count))) * (min(a + block, count) - a) for a in starts]
    return np.asarray(np.sum(means, axis=0, dtype=np.float64) / count, np.float32)


def _linear(stream: FrameStream, values: np.ndarray, table: np.ndarray | None) -> np.ndarray:
    """Raw values above black as linear RGB (H, W, 3), 1 = full scale."""
    linear = values / np.float32(stream.white_level - stream.black_level) if table is None else linearise(values, table)
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
