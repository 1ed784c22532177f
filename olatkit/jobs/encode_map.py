"""Write an environment map in the forms that networks take."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from olatkit.envmap import EnvironmentMap
from olatkit.io.exr import write_exr
from olatkit.io.images import write_png
from olatkit.io.outputs import refuse_existing, whole_file
from olatkit.render.bank import SHOWN_LUMINANCE, to_pixels
from olatkit.render.encodings import encode_directions, encode_ldr, encode_log
from olatkit.render.lighting_ball import LightingBall
from olatkit.render.sh import CONVENTION, project_sh

FILES = {
    "16x16": ("16x16.exr", "16x16.npy"),
    "triple": ("ldr.png", "log.exr", "dir.exr"),
    "ball": ("ball.exr", "ball.png"),
    "sh2": ("sh2.json",),
    "sh4": ("sh4.json",),
}


def encode_map(
    environment: EnvironmentMap, folder: str | os.PathLike[str], forms: Sequence[str] = tuple(FILES), *,
    size: tuple[int, int] = (512, 512), ball_px: int = 512, unit_mean: bool = False, overwrite: bool = False,
) -> list[Path]:
    """Write forms of a map to a folder as ``NAME_FORM.suffix``.

    Parameters
    ----------
    environment : EnvironmentMap
    folder : path
        Made if missing.
    forms : sequence of str
        Of ``FILES``: ``16x16`` radiance as EXR and as 768 numbers; ``triple`` tone-mapped, logarithm, directions;
        ``ball`` the mirror ball, linear and to look at; ``sh2`` and ``sh4`` spherical harmonics.
    size : (int, int)
        Height and width of the triple; 512 x 512 is what DiffusionRenderer takes.
    ball_px : int
        Diameter of the ball.
    unit_mean : bool
        Scale the map to a mean luminance of 1 first, as banks do.
    overwrite : bool
        Replace existing files.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError
        An unknown form.
    OutputExistsError
        A file exists and ``overwrite`` is false; nothing is written then.
    """
    unknown = [form for form in forms if form not in FILES]
    if unknown:
        raise ValueError(f"form '{unknown[0]}' is unknown, expected some of {', '.join(FILES)}")
    folder = Path(folder)
    paths = {file: folder / f"{environment.name}_{file}" for form in forms for file in FILES[form]}
    for path in paths.values():
        refuse_existing(path, overwrite=overwrite)
    scale = 1 / environment.mean_luminance if unit_mean else 1.0
    shown = EnvironmentMap((environment.radiance * scale).astype(np.float32), environment.name)
    for form in dict.fromkeys(forms):
        if form == "16x16":
            _write_cells(shown, paths, overwrite)
        elif form == "triple":
            _write_triple(shown, size, paths, overwrite)
        elif form == "ball":
            ball = LightingBall(ball_px, supersample=3).mirror(shown)
            write_exr(paths["ball.exr"], ball, overwrite=overwrite)
            exposure = SHOWN_LUMINANCE / shown.mean_luminance
            write_png(paths["ball.png"], to_pixels(encode_ldr(exposure * ball)), overwrite=overwrite)
        else:
            _write_harmonics(shown, int(form.removeprefix("sh")), paths[f"{form}.json"], overwrite)
    return list(paths.values())


def _write_cells(environment: EnvironmentMap, paths: dict[str, Path], overwrite: bool) -> None:
    """16x16 radiance, as a picture and as numbers in the order row, column, channel."""
    cells = environment.downsample(16, 16).radiance
    write_exr(paths["16x16.exr"], cells, overwrite=overwrite)
    with whole_file(paths["16x16.npy"], overwrite=overwrite) as part, part.open("wb") as file:
        np.save(file, cells.reshape(-1))


def _write_triple(
    environment: EnvironmentMap, size: tuple[int, int], paths: dict[str, Path], overwrite: bool
) -> None:
    """Tone-mapped picture, logarithm and directions of one size."""
    radiance = environment.downsample(*size).radiance
    write_png(paths["ldr.png"], to_pixels(encode_ldr(radiance)), overwrite=overwrite)
    write_exr(paths["log.exr"], encode_log(radiance), overwrite=overwrite)
    write_exr(paths["dir.exr"], encode_directions(*size), overwrite=overwrite)


def _write_harmonics(environment: EnvironmentMap, order: int, path: Path, overwrite: bool) -> None:
    """Coefficients of radiance with their convention."""
    document = {
        "order": order, "convention": CONVENTION, "axes": "x right, y up, z to the camera",
        "quantity": "integral of radiance times basis, linear Rec.709",
        "coefficients": project_sh(environment, order).tolist(),
    }
    with whole_file(path, overwrite=overwrite) as part:
        part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
