"""``olatkit ingest``: a high-speed capture to a take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from olatkit.cli.options import overwrite_option, parse_size, progress_bar, say_kept, scheduler_option, workers_option
from olatkit.wording import counted

if TYPE_CHECKING:
    import numpy as np

_FILE = click.Path(path_type=Path, readable=False)  # what cannot be read is a problem with the data, not wrong usage


@click.command(short_help="Demultiplex a high-speed capture into OLAT imagesets.")
@click.argument("source", type=_FILE)
@click.option("--rig", type=_FILE, required=True, help="Light positions: .json, .csv or .lp.")
@click.option("--schedule", type=_FILE, required=True, help="Lighting schedule: .json.")
@click.option("-o", "--output", type=_FILE, required=True, help="Take to write, NAME.olat.h5.")
@click.option("--phase", type=int, help="Frame of slot 0, instead of finding it.")
@click.option("--start", type=int, help="First frame to use.")
@click.option("--stop", type=int, help="Frame after the last one to use.")
@click.option("--size", callback=parse_size, help="Size of the imagesets, e.g. 512 or 640x480; reduced, centred crop.")
@click.option("--roi", default="auto", show_default=True, help="Stored region: auto, full or x,y,width,height.")
@click.option("--dark", type=_FILE, help="Stream recorded with the lights off: subtracted, and bad pixels found in it.")
@click.option("--flat", type=_FILE, help="Stream of an evenly lit surface: lens shading is divided out.")
@click.option("--linearity", type=_FILE, help="Response curve of the sensor, .json: an exposure ramp or a table.")
@click.option("--color", type=_FILE, help="3x3 matrix in .json, or a stream whose first frame shows a ColorChecker.")
@click.option("--color-corners", help="x,y of the chart's 4 corners, dark skin first, clockwise; found if left out.")
@click.option("--transfer", help="Transfer curve of a video: srgb, rec709, linear or a gamma.")
@click.option("--config", type=_FILE, help="Settings, YAML.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One setting, e.g. motion.shading=true.")
@click.option(
    "--codes",
    type=click.Choice(["sqrt12", "float16", "float32"]),
    default="sqrt12",
    show_default=True,
    help="How radiance is stored.",
)
@click.option(
    "--compression",
    type=click.Choice(["bitshuffle", "gzip", "none"]),
    default="bitshuffle",
    show_default=True,
    help="gzip is readable by any HDF5 tool, and slow.",
)
@click.option("--report/--no-report", default=True, show_default=True, help="Write NAME.report.html beside the take.")
@scheduler_option
@workers_option
@overwrite_option
def command(
    source: Path,
    rig: Path,
    schedule: Path,
    output: Path,
    phase: int | None,
    start: int | None,
    stop: int | None,
    size: tuple[int, int] | None,
    roi: str,
    dark: Path | None,
    flat: Path | None,
    linearity: Path | None,
    color: Path | None,
    color_corners: str | None,
    transfer: str | None,
    config: Path | None,
    settings: tuple[str, ...],
    codes: str,
    compression: str,
    report: bool,
    scheduler: str,
    workers: int | None,
    overwrite: bool,
) -> None:
    """Demultiplex SOURCE, a high-speed capture under time-multiplexed lights, into a take of OLAT imagesets.

    SOURCE is a Phantom .cine, a folder of images, a video, a .npy file or a raw file with a JSON sidecar. The
    phase of the lighting cycle is found from the frames. Run the same command again after an interruption: it
    goes on where it stopped.
    """
    from math import isfinite

    from olatkit.capture.config import IngestConfig
    from olatkit.cli.settings import read_config
    from olatkit.jobs.ingest import ingest

    box = _parse_box(roi)
    with progress_bar("looking at frames", "imagesets") as (scan, progress):
        done = ingest(
            source,
            rig,
            schedule,
            output,
            config=read_config(IngestConfig, config, settings),
            phase=phase,
            span=(start, stop),
            size=size,
            box=box,
            dark=dark,
            flat=flat,
            linearity=linearity,
            color=color,
            color_corners=_parse_corners(color_corners),
            transfer=transfer,
            encoding=codes,
            compression=compression,
            scheduler=scheduler,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
            scan_progress=scan,
            report=report,
        )
    say_kept(done.resumed, "imageset")
    score = f"score {done.phase_score:.3f}" if isfinite(done.phase_score) else "given"
    click.echo(f"{done.take}: {counted(done.imagesets, 'imageset')}, phase {done.phase} ({score})")


def _parse_corners(text: str | None) -> np.ndarray | None:
    """'x,y,x,y,x,y,x,y' to an array (4, 2)."""
    import numpy as np

    if text is None:
        return None
    try:
        return np.array([float(v) for v in text.split(",")]).reshape(4, 2)
    except ValueError:
        raise click.BadParameter(f"{text!r}, expected 8 numbers x,y,x,y,...", param_hint="--color-corners") from None


def _parse_box(text: str) -> tuple[int, int, int, int] | str:
    """'auto', 'full', or 'x,y,width,height' to (top, left, height, width)."""
    if text in ("auto", "full"):
        return text
    try:
        x, y, width, height = (int(v) for v in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r}, expected auto, full or x,y,width,height", param_hint="--roi") from None
    return y, x, height, width
