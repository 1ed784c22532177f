"""``olatkit envmap``: explain, shrink, turn, show and encode environment maps."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olatkit.cli.options import overwrite_option, parse_size
from olatkit.cli.orientation import is_turned, orientation_options, read_map

if TYPE_CHECKING:
    from olatkit.envmap import EnvironmentMap

_PATH = click.Path(path_type=Path)
_MAP = click.argument("map_path", type=_PATH, metavar="MAP")
_FORMS = ("16x16", "triple", "ball", "sh2", "sh4")


@click.group(short_help="Explain, shrink, turn, show and encode environment maps.")
def command() -> None:
    """Environment maps: linear radiance over the whole sphere in lat-long form, .hdr or .exr; pictures of 8 and 16 bits
    are read with a warning. The centre of a map is what the camera sees behind the subject; say --center, --up and --flip
    for files that lie otherwise."""


@command.command("info")
@click.argument("maps", type=_PATH, nargs=-1, required=True, metavar="MAP...")
@click.option("--json", "as_json", is_flag=True, help="One JSON list for machines; keys end in their units.")
@orientation_options
def info(maps: tuple[Path, ...], as_json: bool, **orientation: Any) -> None:
    """Say how bright each MAP is, where its light comes from, and what is odd about it, such as a clipped sun.

    A file that is no map is one line on stderr and exit code 1; the others are explained all the same.
    """
    from olatkit.cli.info import explain
    from olatkit.io.describe_map import describe_map
    from olatkit.io.environments import examine_environment, file_rotation

    try:
        file_rotation(orientation["center"], orientation["up"])
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    explain(maps, lambda path: describe_map(path, *examine_environment(path, **orientation)), as_json=as_json)


@command.command("downsample")
@_MAP
@click.option("-o", "--output", "out", type=_PATH, required=True, help="Map to write, .exr with 32-bit floats.")
@click.option("--size", default="16x16", show_default=True, callback=parse_size, metavar="WxH",
              help="Columns x rows; larger than the file's is fine too.")
@orientation_options
@overwrite_option
def downsample(map_path: Path, out: Path, size: tuple[int, int], overwrite: bool, **orientation: Any) -> None:
    """Average MAP over the cells of a smaller grid by solid angle: no sun is lost, and none grows.

    The command prints the power before and after.
    """
    _check_exr(out, overwrite)
    environment = read_map(map_path, orientation)
    _write(environment.downsample(*size), environment, out, overwrite)


@command.command("rotate")
@_MAP
@click.option("-o", "--output", "out", type=_PATH, required=True, help="Map to write, .exr with 32-bit floats.")
@click.option("--yaw", "yaw_deg", type=float, metavar="DEG",
              help="About the vertical: +90 takes light from the camera's side to the picture's right.")
@click.option("--pitch", "pitch_deg", type=float, metavar="DEG",
              help="+90 takes light from above to the camera's side.")
@click.option("--roll", "roll_deg", type=float, metavar="DEG",
              help="In the picture: +90 takes light from the right to above.")
@orientation_options
@overwrite_option
def rotate(
    map_path: Path, out: Path, yaw_deg: float | None, pitch_deg: float | None, roll_deg: float | None, overwrite: bool,
    **orientation: Any,
) -> None:
    """Turn MAP by roll, then pitch, then yaw, and write it with its power kept.

    Without an angle, a map of which --center, --up or --flip says that it lies otherwise is put right.

    A yaw alone moves whole columns exactly and shares fractions of one. Pitch and roll resample the map; what that
    changes in its power is put right, and printed.
    """
    import numpy as np

    from olatkit.geometry import rotation_matrix
    from olatkit.latlong import turn_latlong

    if (yaw_deg, pitch_deg, roll_deg) == (None,) * 3 and not is_turned(orientation):
        raise click.UsageError("nothing to turn by: give --yaw, --pitch or --roll, or say with --center, --up or --flip "
                               "how the file lies")
    yaw_deg, pitch_deg, roll_deg = yaw_deg or 0.0, pitch_deg or 0.0, roll_deg or 0.0
    _check_exr(out, overwrite)
    environment = read_map(map_path, orientation)
    if pitch_deg % 360 or roll_deg % 360:
        radiance, correction = turn_latlong(environment.radiance, rotation_matrix(yaw_deg, pitch_deg, roll_deg))
        turned = type(environment)(radiance, environment.name)
        click.echo(f"resampling changed the power by {100 * np.abs(1 / correction - 1).max():.3g} %, put right", err=True)
    else:
        turned = environment.rotate(yaw_deg)
    _write(turned, environment, out, overwrite)


@command.command("show")
@_MAP
@click.option("-o", "--output", "out", type=_PATH, required=True, help="Picture, .png.")
@click.option("--rig", "rig_path", type=_PATH, help="Lights to divide the map among, .json, .csv or .lp.")
@click.option("--method", type=click.Choice(["voronoi", "nearest", "barycentric", "lobe"]), default="voronoi",
              show_default=True, help="How light is divided among the lights of --rig.")
@orientation_options
@overwrite_option
def show(
    map_path: Path, out: Path, rig_path: Path | None, method: str, overwrite: bool, **orientation: Any
) -> None:
    """Make a page of pictures of MAP: with its directions, in stops, as 16x16, on a mirror ball and a white ball, as
    spherical harmonics, and with --rig as the lights of a stage would show it."""
    from olatkit.errors import ConfigError
    from olatkit.io.documents import read_rig
    from olatkit.io.images import write_png
    from olatkit.io.outputs import refuse_existing
    from olatkit.render.map_pictures import map_page

    refuse_existing(out, overwrite=overwrite)
    environment, rig = read_map(map_path, orientation), read_rig(rig_path) if rig_path else None
    try:
        page = map_page(environment, rig, method=method)
    except ValueError as error:
        raise ConfigError(f"{rig_path}: {error}") from error
    write_png(out, page, overwrite=overwrite)
    click.echo(out)


@command.command("encode")
@_MAP
@click.option("-o", "--output", "out", type=_PATH, required=True, help="Folder to write to.")
@click.option("--form", "forms", type=click.Choice(_FORMS), multiple=True,
              help="Only this form; may be given several times.  [default: all]")
@click.option("--size", default="512x512", show_default=True, callback=parse_size, metavar="WxH",
              help="Columns x rows of the triple.")
@click.option("--ball", "ball_px", type=click.IntRange(8, 4096), default=512, show_default=True, metavar="PX",
              help="Diameter of the mirror ball.")
@click.option("--unit-mean", is_flag=True, help="Scale the map to a mean luminance of 1 first, as banks do.")
@orientation_options
@overwrite_option
def encode(
    map_path: Path, out: Path, forms: tuple[str, ...], size: tuple[int, int], ball_px: int, unit_mean: bool,
    overwrite: bool, **orientation: Any,
) -> None:
    """Write MAP in the forms that networks take, as NAME_FORM in a folder.

    \b
    16x16   radiance of 16x16 cells: EXR, and 768 numbers as .npy
    triple  tone-mapped PNG, logarithm and directions as EXR, for diffusion relighters
    ball    mirror ball, linear EXR and PNG to look at
    sh2     spherical harmonics of order 2, JSON
    sh4     spherical harmonics of order 4, JSON
    """
    from olatkit.jobs.encode_map import encode_map

    environment = read_map(map_path, orientation)
    for path in encode_map(environment, out, forms or _FORMS, size=size, ball_px=ball_px, unit_mean=unit_mean,
                           overwrite=overwrite):
        click.echo(path)


def _check_exr(out: Path, overwrite: bool) -> None:
    """Refuse an output that cannot hold a sun, or that is there already, before anything is read."""
    from olatkit.errors import ConfigError
    from olatkit.io.outputs import refuse_existing

    if out.suffix.lower() != ".exr":
        raise ConfigError(f"{out}: maps are written as .exr with 32-bit floats, which hold any sun; name the file so")
    refuse_existing(out, overwrite=overwrite)


def _write(made: "EnvironmentMap", source: "EnvironmentMap", out: Path, overwrite: bool) -> None:
    """Write a map and say what became of the power."""
    from olatkit.io.exr import write_exr

    write_exr(out, made.radiance, overwrite=overwrite)
    kept = " ".join(f"{ratio:.7f}" for ratio in made.power / source.power.clip(min=1e-300))
    height, width = made.shape
    click.echo(f"{width} x {height}, power kept {kept} (R G B)", err=True)
    click.echo(out)
