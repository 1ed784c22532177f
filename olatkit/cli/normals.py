"""``olatkit normals``: shape and material of a subject from its OLAT images."""

from pathlib import Path

import click

from olatkit.cli.options import overwrite_option, progress_bar
from olatkit.wording import counted

_CHOICES = ("normals", "albedo", "occlusion", "diffuse", "specular", "gradients")


def _parse_imageset(_ctx: click.Context, _param: click.Parameter, value: str) -> int | str:
    if value == "all":
        return value
    if not value.isdigit():
        raise click.BadParameter(f"{value!r} is neither an index, such as 0, nor 'all'")
    return int(value)


def _parse_names(*choices: str):
    """A callback that reads names of ``choices`` separated by commas."""

    def callback(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
        names = tuple(part.strip().lower() for part in value.split(",") if part.strip())
        wrong = [name for name in names if name not in choices]
        if wrong or not names:
            raise click.BadParameter(f"{(wrong or [value])[0]!r} is not one of {', '.join(choices)}")
        return names

    return callback


@click.command(short_help="Make normals, albedo, occlusion and a diffuse/specular split of a take.")
@click.argument("take", type=click.Path(path_type=Path))
@click.option("-o", "--output", "out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder.")
@click.option("--imageset", default="0", show_default=True, metavar="N|all", callback=_parse_imageset,
              help="One instant of the take, or all of them.")
@click.option("--maps", default=",".join(_CHOICES), show_default=True, callback=_parse_names(*_CHOICES), metavar="NAMES",
              help="What to make.")
@click.option("--format", "formats", default="exr,png", show_default=True, callback=_parse_names("exr", "png"),
              metavar="NAMES", help="exr for numbers, png for the eye.")
@click.option("--mask", default="auto", show_default=True, metavar="auto|none|FILE",
              help="Where the subject is: found, everywhere, or a picture that is bright on it.")
@click.option("--ranks", metavar="LOW,HIGH",
              help="Share of each pixel's lights, darkest first, below and above which they are left out.  "
              "[default: 0.60,0.90 for lights all round, down to 0.15,0.90 if all stand on one side]")
@click.option("--steps", type=click.IntRange(0, 50), default=4, show_default=True, help="Robust steps after that.")
@click.option("--envmap", "envmaps", type=click.Path(path_type=Path), multiple=True,
              help="Also a preview under this map through spherical harmonics. May be given several times.")
@click.option("--sh-order", type=click.IntRange(0, 8), default=2, show_default=True, help="Order of that preview.")
@click.option("--exposure", "exposure_stops", type=click.FloatRange(-64, 64), default=0.0, show_default=True,
              metavar="STOPS", help="PNG pictures brighter or darker by factors of two.")
@overwrite_option
def command(
    take: Path, out: Path, imageset: int | str, maps: tuple[str, ...], formats: tuple[str, ...], mask: str,
    ranks: str | None, steps: int, envmaps: tuple[Path, ...], sh_order: int, exposure_stops: float, overwrite: bool,
) -> None:
    """Make normals, albedo, ambient occlusion, diffuse and specular parts, and pictures under light gradients from TAKE.

    Photometric stereo on every pixel: lights that see it in shadow or in a highlight are left out. Run the same command
    again after an interruption: it goes on where it stopped.
    """
    from olatkit.io.environments import read_environment
    from olatkit.jobs.normals import NormalsConfig, make_normals

    try:
        window = {} if ranks is None else dict(zip(("low", "high"), map(float, ranks.split(",")), strict=True))
        if window and not 0 <= window["low"] < window["high"] <= 1:
            raise ValueError
    except ValueError:
        raise click.BadParameter(f"{ranks!r}, expected two shares such as 0.60,0.90", param_hint="--ranks") from None
    config = NormalsConfig.model_validate({
        "imageset": imageset, "maps": maps, "formats": formats, "mask": mask, "steps": steps, **window,
        "sh_order": sh_order, "exposure_stops": exposure_stops,
    })
    environments = [read_environment(path) for path in envmaps]
    with progress_bar("imagesets") as progress:
        done = make_normals(take, out, config, environments=environments, overwrite=overwrite, progress=progress)
    kept = f", {done.kept} kept" if done.kept else ""
    click.echo(f"{out}: {counted(len(done.written), 'file')}{kept}")
