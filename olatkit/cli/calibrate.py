"""``olatkit calibrate``: measurements of the stage that ingest and import take."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olatkit.cli.options import overwrite_option, progress_bar, workers_option
from olatkit.wording import counted

if TYPE_CHECKING:
    from olatkit.rig import LightRig

_PATH = click.Path(path_type=Path)


def _numbers(count: int, example: str) -> Callable[..., Any]:
    """A callback that reads ``count`` numbers separated by commas, or several such options."""

    def read(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count:
            raise click.BadParameter(f"{text!r}, expected {count} numbers such as {example}")
        return values

    def callback(_ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(read(text) for text in value)
        return None if value is None else read(value)

    return callback


_focal = click.option("--focal-px", type=click.FloatRange(min=0, min_open=True), metavar="PX",
                      help="Focal length in pixels (millimetres over pixel pitch).  [default: a camera far away]")
_center = click.option("--principal", callback=_numbers(2, "1944,1296"), metavar="X,Y",
                       help="Pixel that the optical axis meets, for cropped pictures.  [default: the middle]")


@click.group(short_help="Measure the stage: light directions and gains, colour, dark frame, crosstalk.")
def command() -> None:
    """Measure the stage, into files that ingest and import take.

    `lights` and `gains` write a rig, `color` a matrix, `dark` a dark frame, `crosstalk` settings for ingest.
    """


@command.command()
@click.argument("sources", type=_PATH, nargs=-1, required=True, metavar="FOLDER|TAKE...")
@click.option("-o", "--output", type=_PATH, required=True, help="Rig to write, .json.")
@click.option("--pictures", default="*", show_default=True, metavar="PATTERN",
              help="Names of the photographs, such as 'Image_*.JPG'; their order is that of the lights.")
@click.option("--ball", "balls", multiple=True, callback=_numbers(3, "536,478,421"), metavar="X,Y,RADIUS",
              help="Place of the ball in pixels, once per folder.  [default: found]")
@click.option("--ball-picture", metavar="NAME", help="Picture in the folder that shows the ball's outline best.")
@click.option("--transfer", default="srgb", show_default=True, help="Curve of PNG, JPEG and TIFF pictures.")
@_focal
@_center
@click.option("--rig", type=_PATH, help="Rig with the places of lights that no ball shows, such as those behind it.")
@click.option("--truth", type=_PATH, help="Rig with the true directions: print the angles from them.")
@click.option("--name", default="mirror ball", show_default=True, help="Name of the rig.")
@workers_option
@overwrite_option
def lights(
    sources: tuple[Path, ...], output: Path, pictures: str, balls: tuple[tuple[float, ...], ...],
    ball_picture: str | None, transfer: str, focal_px: float | None, principal: tuple[float, float] | None,
    rig: Path | None, truth: Path | None, name: str, workers: int | None, overwrite: bool,
) -> None:
    """Find where the lights stand, from their highlights on a mirror ball.

    Each FOLDER holds photographs of a ball under one light each; a TAKE of a ball does as well. Directions of several
    balls are averaged.
    """
    from olatkit.capture.probes import Ball, angles_deg
    from olatkit.io.documents import read_rig, write_rig
    from olatkit.io.outputs import refuse_existing
    from olatkit.jobs.probes import find_light_directions

    refuse_existing(output, overwrite=overwrite)
    expected = None if truth is None else _read_truth(truth)
    with progress_bar("pictures") as progress:
        found = find_light_directions(
            sources, pictures=pictures, balls=[Ball(*ball) for ball in balls], ball_picture=ball_picture,
            transfer=transfer, focal_px=focal_px, center=principal, fallback=None if rig is None else read_rig(rig),
            name=name, workers=workers, progress=progress,
        )
    for source, ball, share in zip(sources, found.balls, found.seen_outline, strict=True):
        seen = "" if share == 1 else f", {100 * share:.0f} % of its outline seen"
        click.echo(f"{source}: ball at ({ball.x:.1f}, {ball.y:.1f}), radius {ball.radius:.1f} px{seen}", err=True)
    if found.unseen:
        click.echo(f"lights {list(found.unseen)} are not on any ball; their places come from {rig}", err=True)
    if len(sources) > 1:
        spread = found.spread_deg
        click.echo(f"balls differ from their mean by {spread.mean():.2f} degrees, {spread.max():.2f} at most", err=True)
    if expected is not None:
        if len(expected) != len(found.rig):
            raise click.UsageError(f"{truth} has {counted(len(expected), 'light')}, found were {len(found.rig)}")
        error = angles_deg(found.rig.directions, expected.directions)
        click.echo(f"angles from {truth}: mean {error.mean():.2f}, max {error.max():.2f} degrees", err=True)
    write_rig(output, found.rig, overwrite=overwrite)
    click.echo(f"{output}: {counted(len(found.rig), 'light')}")


def _read_truth(path: Path) -> "LightRig":
    """A rig to compare with: that its lights are close together is told of the rig that is found, and not twice."""
    from olatkit.io.documents import read_rig

    log = logging.getLogger("olatkit.rig")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        return read_rig(path)
    finally:
        log.setLevel(level)


@command.command()
@click.argument("take", type=_PATH)
@click.option("-o", "--output", type=_PATH, required=True, help="Rig to write, .json: the take's, with new gains.")
@click.option("--ball", callback=_numbers(3, "256,250,120"), metavar="X,Y,RADIUS",
              help="Place of the white ball in pixels.  [default: found]")
@click.option("--flat", callback=_numbers(4, "100,80,64,64"), metavar="X,Y,WIDTH,HEIGHT",
              help="Pixels of a flat white target, instead of a ball.")
@click.option("--normal", default="0,0,1", show_default=True, callback=_numbers(3, "0,0,1"), metavar="X,Y,Z",
              help="Where the flat target faces; 0,0,1 is the camera.")
@_focal
@_center
@overwrite_option
def gains(
    take: Path, output: Path, ball: tuple[float, float, float] | None, flat: tuple[float, ...] | None,
    normal: tuple[float, float, float], focal_px: float | None, principal: tuple[float, float] | None, overwrite: bool,
) -> None:
    """Measure how bright every light is, per channel, on a white diffuse ball or a flat target.

    TAKE shows the target: photographs of it go through `olatkit import`, a recording through `olatkit ingest`.
    """
    import numpy as np

    from olatkit.capture.probes import Ball
    from olatkit.io.documents import write_rig
    from olatkit.io.outputs import refuse_existing
    from olatkit.jobs.probes import find_light_gains

    if ball and flat:
        raise click.UsageError("--ball and --flat exclude each other")
    refuse_existing(output, overwrite=overwrite)
    box = None if flat is None else tuple(round(v) for v in flat)
    with progress_bar("lights") as progress:
        found = find_light_gains(
            take, ball=Ball(*ball) if ball else None, flat=box,  # type: ignore[arg-type]
            normal=normal, focal_px=focal_px, center=principal, progress=progress,
        )
    if found.ball is not None:
        click.echo(f"ball at ({found.ball.x:.1f}, {found.ball.y:.1f}), radius {found.ball.radius:.1f} px", err=True)
    if found.unknown:
        click.echo(f"lights {list(found.unknown)} hardly reach the target; they get the median gain", err=True)
    worst = int(np.nanargmax(found.misfit))
    click.echo(
        f"differs from the shading of a white diffuse surface by {100 * np.nanmedian(found.misfit):.1f} % (median of the "
        f"lights), {100 * found.misfit[worst]:.1f} % at most (light {worst})", err=True,
    )
    low, high = found.rig.gains.min(), found.rig.gains.max()
    write_rig(output, found.rig, overwrite=overwrite)
    click.echo(f"{output}: gains of {counted(len(found.rig), 'light')}, {low:.3f} to {high:.3f}")


@command.command()
@click.argument("source", type=_PATH)
@click.option("-o", "--output", type=_PATH, required=True, help="Matrix to write, .json.")
@click.option("--corners", callback=_numbers(8, "x,y,x,y,x,y,x,y"), metavar="X,Y,...",
              help="The chart's 4 corners, dark skin first, clockwise.  [default: found]")
@click.option("--transfer", metavar="CURVE", help="Curve of a photograph: linear, srgb, rec709 or a gamma.")
@click.option("--black-level", metavar="VALUE", help="Value without light of a photograph, or 'file' for camera raw.")
@click.option("--white-level", metavar="VALUE", help="Value of full scale of a photograph, or 'file' for camera raw.")
@overwrite_option
def color(
    source: Path, output: Path, corners: tuple[float, ...] | None, transfer: str | None, black_level: str | None,
    white_level: str | None, overwrite: bool,
) -> None:
    """Fit the 3x3 matrix from camera colours to Rec.709 to a ColorChecker.

    SOURCE is a capture stream whose first frame shows the chart, or a photograph, whose curve and levels must be given.
    """
    import numpy as np

    from olatkit.jobs.calibrate import fit_color

    outline = None if corners is None else np.array(corners).reshape(4, 2)
    levels = None if (transfer, black_level, white_level) == (None,) * 3 else (transfer, black_level, white_level)
    error = fit_color(source, output, corners=outline, levels=levels, overwrite=overwrite)
    click.echo(
        f"{output}: residual of the patches {np.nanmean(error):.1f} in the mean, {np.nanmax(error):.1f} at most (CIE 1976)"
    )


@command.command()
@click.argument("source", type=_PATH)
@click.option("-o", "--output", type=_PATH, required=True, help=".npy for `ingest --dark`, .exr for an import's 'ambient'.")
@overwrite_option
def dark(source: Path, output: Path, overwrite: bool) -> None:
    """Average frames taken with the lights off.

    SOURCE is a capture stream; 64 frames or more keep the noise of the mean low.
    """
    from olatkit.jobs.calibrate import average_dark

    done = average_dark(source, output, overwrite=overwrite)
    click.echo(f"{output}: mean of {counted(done.frames, 'frame')}, level {done.level:.2f}, "
               f"{counted(done.bad_pixels, 'bad pixel')}")


@command.command()
@click.argument("source", type=_PATH)
@click.option("--rig", type=_PATH, required=True, help="Light positions: .json, .csv or .lp.")
@click.option("--schedule", type=_PATH, required=True, help="Lighting schedule: .json.")
@click.option("-o", "--output", type=_PATH, required=True, help="Settings to write, .yaml, for `ingest --config`.")
@click.option("--dark", "dark_path", type=_PATH, help="Stream recorded with the lights off.")
@click.option("--phase", type=int, help="Frame of slot 0, instead of finding it.")
@workers_option
@overwrite_option
def crosstalk(
    source: Path, rig: Path, schedule: Path, output: Path, dark_path: Path | None, phase: int | None,
    workers: int | None, overwrite: bool,
) -> None:
    """Measure the share of a frame's light that leaks into the next frame.

    SOURCE is a recording under the lighting cycle, best of a grey object that stands still. Ingest measures it on every
    take; a value measured once on a good take is steadier.
    """
    from olatkit.jobs.calibrate import measure_crosstalk

    with progress_bar("frames") as progress:
        share, error = measure_crosstalk(
            source, rig, schedule, output, dark=dark_path, phase=phase, workers=workers, overwrite=overwrite,
            progress=progress,
        )
    click.echo(f"{output}: crosstalk {100 * share:.3f} % +- {100 * error:.3f} %")
