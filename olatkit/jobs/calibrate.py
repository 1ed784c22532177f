"""Camera measurements to files: colour matrix, dark frame, crosstalk."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olatkit.capture.calibrate import find_bad_pixels, mean_dark
from olatkit.capture.chart import chart_error, chart_patches, chart_reference, fit_color_matrix
from olatkit.capture.chart_finder import find_color_checker
from olatkit.color import to_srgb8
from olatkit.errors import CaptureError, ConfigError
from olatkit.io.images import write_exr
from olatkit.io.manifests import Pictures
from olatkit.io.outputs import refuse_existing, whole_file
from olatkit.io.photographs import SUFFIXES, read_photograph
from olatkit.io.sources import open_stream
from olatkit.io.streams import FrameStream
from olatkit.jobs.schedulers import Progress
from olatkit.vision.demosaic import demosaic

BLOCK = 16  # frames that are in memory at once
LIT_SHARE = 0.2  # of full scale: ambient light may be in a dark frame, a scene may not


@dataclass(frozen=True)
class DarkSummary:
    """Frames averaged, their mean level in sensor values, and bad pixels found."""

    frames: int
    level: float
    bad_pixels: int


def fit_color(
    source: Path, out: Path, *, corners: np.ndarray | None = None,
    levels: Sequence[str | float | None] | None = None, overwrite: bool = False,
) -> np.ndarray:
    """Fit the matrix from camera colours to linear Rec.709 and write it as JSON.

    Parameters
    ----------
    source : Path
        A stream whose first frame shows a ColorChecker Classic, or a photograph of one.
    out : Path
        JSON, three rows of three numbers.
    corners : ndarray, shape (4, 2), optional
        Outer corners of the patches, dark skin first, clockwise; found if None.
    levels : transfer, black level, white level, optional
        Of a photograph; required for one.

    Returns
    -------
    ndarray, shape (24,)
        Residual colour difference of the patches (CIE 1976), NaN for saturated ones.

    Raises
    ------
    ConfigError
        A photograph without levels, or a stream with them.
    CaptureError
        No chart, or one that does not fit.
    """
    refuse_existing(out, overwrite=overwrite)
    picture = _chart_picture(source, levels)
    if corners is None:
        corners = find_color_checker(to_srgb8(picture / max(float(np.percentile(picture, 99)), 1e-6)))
    measured = chart_patches(picture, corners)
    matrix = fit_color_matrix(measured, chart_reference())
    with whole_file(out, overwrite=overwrite) as part:
        part.write_text(json.dumps(matrix.tolist()) + "\n", encoding="utf-8")
    return chart_error(measured, chart_reference(), matrix)


def average_dark(source: Path, out: Path, *, overwrite: bool = False) -> DarkSummary:
    """Average a stream recorded with the lights off.

    Parameters
    ----------
    source : Path
        Capture stream.
    out : Path
        ``.npy`` with a sidecar, which ``olatkit ingest --dark`` reads, or ``.exr`` with values as the sensor gave them,
        for ``ambient`` of an import.

    Raises
    ------
    ConfigError
        Another ending.
    OutputExistsError
        The file or its sidecar exists and ``overwrite`` is false.
    CaptureError
        The frames are not dark.
    """
    if out.suffix.lower() not in (".npy", ".exr"):
        raise ConfigError(f"{out}: a dark frame ends in .npy (for ingest) or .exr (for import), not '{out.suffix}'")
    sidecar = out.with_suffix(".json")
    for path in (out, sidecar) if out.suffix.lower() == ".npy" else (out,):
        refuse_existing(path, overwrite=overwrite)
    stream = open_stream(source)
    mean = _mean(stream)
    black, white = stream.black_level, stream.white_level
    if (share := (float(mean.mean()) - black) / (white - black)) > LIT_SHARE:
        raise CaptureError(
            f"{source}: mean level {mean.mean():.0f}, {100 * share:.0f} % of the way from black ({black:g}) to full scale "
            f"({white:g}), expected under {100 * LIT_SHARE:.0f} %; record a dark frame with the lens covered"
        )
    bad = find_bad_pixels(mean, bayer=stream.bayer)
    if out.suffix.lower() == ".exr":
        write_exr(out, mean, overwrite=overwrite)
    else:
        document: dict[str, float | str] = {
            "frame_rate_hz": stream.frame_rate_hz, "black_level": stream.black_level, "white_level": stream.white_level,
        }
        if stream.bayer:
            document["bayer"] = stream.bayer
        with whole_file(sidecar, overwrite=overwrite) as part:
            part.write_text(json.dumps(document) + "\n", encoding="utf-8")
        with whole_file(out, overwrite=overwrite) as part, part.open("wb") as file:
            np.save(file, mean[None])
    return DarkSummary(len(stream), float(mean.mean()), int(bad.sum()))


def measure_crosstalk(
    source: Path, rig: Path, schedule: Path, out: Path, *, dark: Path | None = None, phase: int | None = None,
    workers: int | None = None, overwrite: bool = False, progress: Progress | None = None,
) -> tuple[float, float]:
    """Estimate crosstalk on a recording and write it as settings of an ingest.

    Returns
    -------
    share, stderr : float
        Share of a frame's light that leaks into the next one, and its standard error.

    Raises
    ------
    CaptureError
        The recording shows nothing dark to measure it on; the message says why.
    """
    from olatkit.capture.plan import plan_capture
    from olatkit.io.documents import read_rig, read_schedule
    from olatkit.jobs.calibration import read_calibration
    from olatkit.jobs.ingest import scan_features

    refuse_existing(out, overwrite=overwrite)
    stream = open_stream(source)
    features = scan_features(Path(source), stream, None, "threads", workers, progress)
    camera = read_calibration(stream, dark=dark)
    plan = plan_capture(
        stream, read_rig(rig), read_schedule(schedule), features, phase=phase, span=(0, len(stream)), camera=camera
    )
    share, error = plan.findings["crosstalk_estimate"]
    if not np.isfinite(share):
        raise CaptureError(f"{source}: crosstalk cannot be measured: {plan.findings['crosstalk_reason']}")
    with whole_file(out, overwrite=overwrite) as part:
        part.write_text(f"crosstalk: {max(share, 0):.6f}\n", encoding="utf-8")
    return float(share), float(error)


def _chart_picture(source: Path, levels: Sequence[str | float | None] | None) -> np.ndarray:
    """Linear RGB of a photograph or of a stream's first frame."""
    if source.suffix.lower() in SUFFIXES:
        if levels is None or None in levels:
            raise ConfigError(
                f"{source}: state the photograph's curve and levels: --transfer linear|srgb|rec709|GAMMA, --black-level "
                "and --white-level (a number, or 'file' for camera raw)"
            )
        transfer, black, white = levels
        raw = "file" if black == "file" or white == "file" else None
        settings = Pictures.model_validate(
            {"files": source.name, "transfer": transfer, "black_level": _level(black), "white_level": _level(white),
             "bayer": raw}
        )
        photograph = read_photograph(source, settings)
        return photograph.linear if photograph.bayer is None else demosaic(photograph.linear, photograph.bayer)
    if levels is not None:
        raise ConfigError(f"{source}: a stream states its own levels; --transfer and levels are for photographs")
    stream = open_stream(source)
    frame = stream.read(0, 1)[0].astype(np.float32)
    linear = (frame - np.float32(stream.black_level)) / np.float32(stream.white_level - stream.black_level)
    if stream.bayer is not None:
        return demosaic(linear, stream.bayer)
    return linear if linear.ndim == 3 else np.repeat(linear[..., None], 3, axis=2)


def _level(value: str | float | None) -> str | float:
    try:
        return float(value)  # type: ignore[arg-type]
    except ValueError:
        return str(value)


def _mean(stream: FrameStream) -> np.ndarray:
    """Mean of all frames, read a few at a time."""
    total = np.zeros(stream.shape, np.float64)
    for start in range(0, len(stream), BLOCK):
        frames = stream.read(start, min(start + BLOCK, len(stream)))
        total += mean_dark(frames).astype(np.float64) * len(frames)
    return (total / len(stream)).astype(np.float32)
