"""``olatkit render``: relight a take under environment maps."""

from pathlib import Path

import click

from olatkit.cli.options import overwrite_option, progress_bar


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
    wrong = [part for part in formats if part not in ("png", "exr", "mp4")]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is not one of png, exr, mp4")
    return formats


@click.command()
@click.argument("take", type=click.Path(path_type=Path))
@click.option("--envmap", "envmaps", type=click.Path(path_type=Path), multiple=True, required=True,
              help="Environment map (.hdr, .exr; png and jpg with a warning). May be given several times.")
@click.option("-o", "--output", "out", type=click.Path(path_type=Path), required=True,
              help="Folder, or one file ending in .png, .exr or .mp4.")
@click.option("--imageset", default="0", show_default=True, metavar="N|all", callback=_parse_imageset,
              help="One instant of the take, or all of it as a moving picture.")
@click.option("--turntable", type=click.IntRange(min=1), metavar="FRAMES",
              help="Turn the light once in this many pictures; with --imageset all, while the take plays.")
@click.option("--yaw", "yaw_deg", type=float, default=0.0, metavar="DEG",
              help="Turn the light: +90 takes it from the camera's side to the picture's right.")
@click.option("--lighting", type=click.Choice(["16x16", "full"]), default="16x16", show_default=True,
              help="Average the map over 16x16 cells first, as networks see it, or integrate all of its pixels.")
@click.option("--exposure", "exposure_stops", type=float, default=0.0, metavar="STOPS",
              help="Brighter or darker by factors of two.")
@click.option("--format", "formats", metavar="png,exr,mp4", callback=_parse_formats,
              help="What to write into a folder.  [default: png for one picture per map, mp4 for more]")
@click.option("--fps", type=float, default=25.0, show_default=True, help="Frames per second of an mp4.")
@click.option("--center", type=click.Choice(["-z", "+z", "+x", "-x"]), default="-z", show_default=True,
              help="Direction that the centre column of the map shows; -z is behind the subject.")
@click.option("--flip", is_flag=True, help="Mirror the map left and right, for maps drawn as seen from outside.")
@click.option("--max-angle", "max_angle_deg", type=click.FloatRange(0, 180, min_open=True), metavar="DEG",
              help="Partial dome: light further than this from every lamp is left out, and reported.")
@overwrite_option
def command(
    take: Path, envmaps: tuple[Path, ...], out: Path, center: str, flip: bool, overwrite: bool, **options: object
) -> None:
    """Relight TAKE under environment maps, by the weighted sum of its OLAT images.

    This is exact and needs a captured take. A trained network for any video, `olatkit relight`, is planned.

    PNG and MP4 are sRGB. Their exposure is fixed by rule and printed: a take has one factor, which gives its
    foreground a median luminance of 0.25 under a white sky, and every map is scaled to mean luminance 1, so maps
    can be compared and frames do not flicker. EXR is linear: radiance of the map as it is, times solid angle, times
    the images; only --exposure changes it.
    """
    from olatkit.io.environments import read_environment
    from olatkit.io.outputs import refuse_existing
    from olatkit.io.takes import open_take
    from olatkit.jobs.render import RenderConfig, render_take

    if out.suffix:
        refuse_existing(out, overwrite=overwrite)
    config = RenderConfig.model_validate({**options, "turntable": options["turntable"] or 0})
    imagesets = open_take(take)
    environments = [read_environment(path, center=center, flip=flip) for path in envmaps]
    with progress_bar("render") as progress:
        report = render_take(imagesets, environments, out, config, overwrite=overwrite, progress=progress)
    for name, factor in report.exposures.items():
        click.echo(f"{name}: exposure x{factor:.4g} from linear to display", err=True)
    for name, share in report.lost.items():
        if share.max() > 1e-6:
            click.echo(f"{name}: {100 * share.max():.1f} % of its light comes from where no lamp stands", err=True)
    click.echo(str(report.paths[0] if len(report.paths) == 1 else out))
