"""``olatkit render``: relight a take under environment maps and light tracks."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olatkit.cli.options import overwrite_option, progress_bar, say_kept
from olatkit.cli.orientation import orientation_options, read_map

if TYPE_CHECKING:
    from olatkit.jobs.lightings import Lighting, MapSource

FORMATS = ("png", "png16", "exr", "mp4", "prores", "ffv1")
METHODS = ("voronoi", "nearest", "barycentric", "lobe")
_PATH = click.Path(path_type=Path)
# Share of the subject above white that is worth a line; highlights are often less.
NOTED_CUT = 0.01
_POSITIVE = click.FloatRange(0, min_open=True)


def _parse_imageset(_ctx: click.Context, _param: click.Parameter, value: str) -> int | str:
    """An index or the word 'all'."""
    if value == "all":
        return value
    if not value.isdigit():
        raise click.BadParameter(f"{value!r} is neither an index, such as 0, nor 'all'")
    return int(value)


def _parse_formats(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Formats separated by commas."""
    formats = tuple(part.strip().lower() for part in value.split(",")) if value else ()
    wrong = [part for part in formats if part not in FORMATS]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is not one of {', '.join(FORMATS)}")
    return formats


def _parse_place(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Three numbers separated by commas."""
    if value is None:
        return None
    try:
        x, y, z = (float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no place, expected three numbers such as 0,0.1,0.2") from error
    return x, y, z


@click.command()
@click.argument("take", type=_PATH)
@click.option("--envmap", "envmaps", type=_PATH, multiple=True, metavar="FILE|FOLDER",
              help="Environment map (.hdr, .exr; png and jpg with a warning), or a folder of them. May be repeated.")
@click.option("--sequence", is_flag=True,
              help="The maps light one picture after another, in a single film, instead of one film or picture each.")
@click.option("--track", "tracks", type=_PATH, multiple=True, metavar="YAML",
              help="Light that changes in time: key frames of maps, rotations and lamps. May be repeated.")
@click.option("-o", "--output", "out", type=_PATH, required=True,
              help="Folder, or one file ending in .png, .exr, .mp4, .mov or .mkv.")
@click.option("--imageset", default="0", show_default=True, metavar="N|all", callback=_parse_imageset,
              help="One instant of the take, or all of it as a moving picture.")
@click.option("--turntable", type=click.IntRange(min=1), metavar="FRAMES",
              help="Turn the light once in this many pictures; with --imageset all, while the take plays.")
@click.option("--yaw", "yaw_deg", type=float, default=0.0, metavar="DEG",
              help="Turn the light: +90 takes it from the camera's side to the picture's right.")
@click.option("--lighting", type=click.Choice(["16x16", "full"]), default="16x16", show_default=True,
              help="Average the map over 16x16 cells first, as networks see it, or integrate all of its pixels.")
@click.option("--method", type=click.Choice(METHODS), default="voronoi", show_default=True,
              help="How light between the lamps is shared among them.")
@click.option("--max-angle", "max_angle_deg", type=click.FloatRange(0, 180, min_open=True), metavar="DEG",
              help="Partial dome: light further than this from every lamp is left out, and reported.")
@click.option("--subject", "subject_m", metavar="X,Y,Z", callback=_parse_place,
              help="Where the subject is, in metres, if the lamps are near; needs a rig with positions.")
@click.option("--rig", "rig_path", type=_PATH, help="Lights in place of the take's own, with better directions.")
@click.option("--exposure", "exposure_stops", type=click.FloatRange(-64, 64), default=0.0, metavar="STOPS",
              help="Brighter or darker by factors of two.")
@click.option("--transfer", type=click.Choice(["srgb", "linear"]), default="srgb", show_default=True,
              help="Curve of PNG and videos; EXR is always linear.")
@click.option("--format", "formats", metavar=",".join(FORMATS), callback=_parse_formats,
              help="What to write into a folder.  [default: png for one picture, mp4 for more]")
@click.option("--half", is_flag=True, help="EXR with 16-bit floats.")
@click.option("--multipart", is_flag=True, help="One EXR per imageset, with a part per lighting and turn.")
@click.option("--fps", type=_POSITIVE, default=25.0, show_default=True,
              help="Frames per second of videos and light tracks.")
@click.option("--background", metavar="COLOR|FILE|map",
              help="Put the subject before a colour (#rrggbb), a picture, or the map itself as the camera sees it.")
@click.option("--fov", "fov_deg", type=click.FloatRange(0, 180, min_open=True, max_open=True),
              metavar="DEG", help="Horizontal field of view of the camera, for --background map.  [default: 30]")
@click.option("--matte", metavar="FILE|FOLDER",
              help="Where the subject is: one picture, or one per imageset.  [default: found in the take]")
@click.option("--ball", is_flag=True, help="Show a mirror ball and a diffuse ball in the same light beside the picture.")
@orientation_options
@click.option("--device", default="cpu", show_default=True, help="cpu, or a torch device such as cuda.")
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True,
              help="bfloat16 needs half the memory, is faster for many lightings with AMX, and errs by 0.1 to 0.2 %.")
@overwrite_option
def command(
    take: Path, envmaps: tuple[Path, ...], sequence: bool, tracks: tuple[Path, ...], out: Path, rig_path: Path | None,
    center: str, up: str, flip: bool, any_aspect: bool, overwrite: bool, **options: Any
) -> None:
    """Relight TAKE under environment maps and light tracks, by the weighted sum of its OLAT images.

    This is exact and needs a captured take. A trained network for any video, `olatkit relight`, is planned.

    PNG and videos are sRGB. Their exposure is fixed by rule and printed: a take has one factor, which gives its
    foreground a median luminance of 0.25 under a white sky, and every map is scaled to mean luminance 1, so maps
    can be compared and frames do not flicker. EXR is linear: radiance of the map as it is, times solid angle, times
    the images; only --exposure changes it.

    A run that was killed goes on when the same command is given again.
    """
    from olatkit.io.documents import read_rig
    from olatkit.io.takes import open_take
    from olatkit.jobs.render import RenderConfig, render_take

    if not envmaps and not tracks:
        raise click.UsageError("nothing to render with: give --envmap or --track")
    if sequence and not envmaps:
        raise click.UsageError("--sequence needs the maps of --envmap")
    orientation = {"center": center, "up": up, "flip": flip, "any_aspect": any_aspect}
    options["turntable"] = options["turntable"] or 0
    if options["fov_deg"] is None:
        del options["fov_deg"]
    config = RenderConfig.model_validate(options)
    imagesets = open_take(take)
    lightings = _find_lightings(envmaps, tracks, sequence, orientation)
    rig = read_rig(rig_path) if rig_path else None
    with progress_bar("render") as progress:
        report = render_take(imagesets, lightings, out, config, rig=rig, overwrite=overwrite, progress=progress,
                             resumed=lambda count: say_kept(count, "picture"))
    for name, factor in report.exposures.items():
        click.echo(f"{name}: exposure x{factor:.4g} from linear to display", err=True)
    for name, lost in report.lost.items():
        shares = 100 * lost.max(axis=1, initial=0)
        if shares.max(initial=0) > 1e-4:
            some = f"{shares[0]:.1f}" if len(shares) == 1 else f"{shares.min():.1f} to {shares.max():.1f}"
            click.echo(f"{name}: {some} % of its light comes from where no lamp stands, and is left out", err=True)
    for name, cut in report.cut.items():
        if cut.max(axis=0, initial=0)[0] > NOTED_CUT:
            worst = int(cut[:, 0].argmax())
            where = "" if len(cut) == 1 else f" in the brightest of {len(cut)} pictures"
            stops = math.floor(10 * (options["exposure_stops"] - cut[worst, 1])) / 10
            click.echo(
                f"{name}: {100 * cut[worst, 0]:.0f} % of the subject is brighter than white and cut{where}; EXR keeps it, "
                f"--exposure {stops:g} shows nearly all of it", err=True,
            )
    click.echo(str(report.paths[0] if len(report.paths) == 1 else out))


def _find_lightings(
    envmaps: tuple[Path, ...], tracks: tuple[Path, ...], sequence: bool, orientation: dict[str, Any]
) -> "list[Lighting]":
    """What --envmap, --sequence and --track come to; maps are read when they are needed."""
    from olatkit.io.layers import MAP_SUFFIXES, list_pictures
    from olatkit.jobs.lightings import MapSequence, read_track, standing_maps

    files = [
        path for given in envmaps
        for path in (list_pictures(given, MAP_SUFFIXES) if given.is_dir() else [given])
    ]
    maps = [_open_map(path, orientation) for path in files]
    lightings: list[Lighting] = []
    if sequence:
        first = envmaps[0]
        lightings.append(MapSequence(first.name if first.is_dir() else first.stem, tuple(maps)))
    elif maps:
        lightings += standing_maps(maps)
    return lightings + [read_track(path, lambda place: _open_map(place, orientation)) for path in tracks]


def _open_map(path: Path, orientation: dict[str, Any]) -> "MapSource":
    """A map file that is read later, but must be there now."""
    from olatkit.errors import FormatError
    from olatkit.jobs.lightings import MapSource

    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise FormatError(f"{path}: no such file or folder, expected an environment map or a folder of them") from error
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from error
    stamp = f"{path.name} {status.st_size} {status.st_mtime_ns} {sorted(orientation.items())}"
    return MapSource(path.stem, lambda: read_map(path, orientation), stamp)
