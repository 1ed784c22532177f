"""Normals, albedo, occlusion, diffuse and specular parts, gradients and SH previews of a take, as pictures."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from olatkit.envmap import EnvironmentMap
from olatkit.errors import ConfigError, OutputExistsError
from olatkit.imageset import Imageset
from olatkit.io.images import read_image, write_exr, write_png
from olatkit.io.outputs import whole_file
from olatkit.io.run_lock import running_alone
from olatkit.io.takes import Take, open_take
from olatkit.jobs.render import take_exposure
from olatkit.jobs.schedulers import Progress
from olatkit.render.normals import STEPS, default_ranks, fit_surface, gradient_weights, split_reflection
from olatkit.render.pictures import to_display
from olatkit.render.relight import relight
from olatkit.render.sh_relight import sh_images, sh_relight
from olatkit.vision.matting import stack_foreground

MapName = Literal["normals", "albedo", "occlusion", "diffuse", "specular", "gradients"]
MAPS: tuple[MapName, ...] = ("normals", "albedo", "occlusion", "diffuse", "specular", "gradients")
GRADIENTS = ("gradient-x", "gradient-y", "gradient-z", "even")


class NormalsConfig(BaseModel):
    """What to make of every imageset.

    Parameters
    ----------
    imageset : int or "all"
    maps : tuple of {"normals", "albedo", "occlusion", "diffuse", "specular", "gradients"}
    formats : tuple of {"exr", "png"}
        EXR is linear and exact, PNG for the eye.
    mask : str
        "auto" finds the subject, "none" takes every pixel, else the path of a picture that is bright on the subject.
    low, high : float, optional
        Ranks between which a pixel's lights are fitted; those that suit the rig if None.
    steps : int
        Robust steps after the first fit.
    sh_order : int
        Order of the previews under environment maps.
    exposure_stops : float
        Factors of two on top of the exposure of PNG pictures; EXR files stay as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    imageset: int | Literal["all"] = 0
    maps: tuple[MapName, ...] = MAPS
    formats: tuple[Literal["exr", "png"], ...] = ("exr", "png")
    mask: str = "auto"
    low: float | None = Field(None, ge=0, lt=1)
    high: float | None = Field(None, gt=0, le=1)
    steps: int = Field(STEPS, ge=0, le=50)
    sh_order: int = Field(2, ge=0, le=8)
    exposure_stops: float = Field(0.0, ge=-64, le=64)


@dataclass(frozen=True)
class NormalsSummary:
    """Files written and files that an earlier run had written."""

    written: tuple[Path, ...]
    kept: int


def make_normals(
    take_path: Path, out: Path, config: NormalsConfig | None = None, *, environments: Sequence[EnvironmentMap] = (),
    overwrite: bool = False, progress: Progress | None = None,
) -> NormalsSummary:
    """Write the maps of one imageset or of all of them into a folder.

    Parameters
    ----------
    take_path : Path
        Take.
    out : Path
        Folder: ``MAP_IIII.exr`` and ``.png`` for imageset IIII, and ``settings.json`` with what they were made with.
    config : NormalsConfig, optional
    environments : sequence of EnvironmentMap
        Each gives a preview through spherical harmonics, ``sh-NAME_IIII``.
    overwrite : bool
        Replace files made with other settings; files of the same settings are kept, so that a killed run goes on.
    progress : callable (done, total), optional
        Imagesets.

    Returns
    -------
    NormalsSummary

    Raises
    ------
    ConfigError
        An imageset that is not there, ranks that leave too few lights, a mask of another size.
    OutputExistsError
        The folder holds files of other settings and ``overwrite`` is false, or another run is writing there.

    Notes
    -----
    PNG: normals as (n + 1)/2 in 8 bits; occlusion in 8 bits, linear; all else sRGB with the take's exposure, under which
    a white sky gives the subject a median luminance of 0.25. Albedo is shown as it would look under that sky.
    """
    config = config or NormalsConfig()
    names = [environment.name for environment in environments]
    if len(set(names)) < len(names):
        raise ConfigError(f"two environment maps are named '{max(names, key=names.count)}', which names their pictures")
    with open_take(take_path) as take, running_alone(out / "normals.parts"):
        if config.imageset != "all" and not 0 <= config.imageset < len(take):
            raise ConfigError(f"imageset {config.imageset} is not in the take, expected 0 ... {len(take) - 1} or 'all'")
        indices = range(len(take)) if config.imageset == "all" else [config.imageset]
        low, high = default_ranks(take.rig)
        config = config.model_copy(update={
            "low": low if config.low is None else config.low, "high": high if config.high is None else config.high,
        })
        _claim(out, take_path, config, environments, overwrite)
        exposure = take_exposure(take) * 2**config.exposure_stops if "png" in config.formats else 0.0
        stems = [*(m for m in config.maps if m != "gradients"), *(GRADIENTS if "gradients" in config.maps else ())]
        stems += [f"sh-{name}" for name in names]
        written: list[Path] = []
        kept = 0
        for done, index in enumerate(indices):
            paths = {(stem, f): out / f"{stem}_{index:04d}.{f}" for stem in stems for f in config.formats}
            if all(path.exists() for path in paths.values()):
                kept += len(paths)
            else:
                pictures = _pictures(take, index, config, dict(zip(names, environments, strict=True)))
                for (stem, suffix), path in paths.items():
                    _write(path, pictures[stem], stem, suffix, exposure)
                written += paths.values()
            if progress is not None:
                progress(done + 1, len(indices))
    return NormalsSummary(tuple(written), kept)


def _pictures(
    take: Take, index: int, config: NormalsConfig, environments: dict[str, EnvironmentMap]
) -> dict[str, np.ndarray]:
    """Every picture of an imageset, linear, by the stem of its file."""
    imageset = take[index]
    assert config.low is not None
    assert config.high is not None
    pictures: dict[str, np.ndarray] = {}
    if set(config.maps) - {"gradients"}:
        surface = fit_surface(
            imageset, take.rig, mask=_mask(imageset, config), ranks=(config.low, config.high), steps=config.steps
        )
        pictures |= {"normals": surface.normals, "albedo": surface.albedo}
        if set(config.maps) & {"occlusion", "diffuse", "specular"}:
            split = split_reflection(imageset, take.rig, surface)
            pictures |= {"occlusion": split.occlusion, "diffuse": split.diffuse, "specular": split.specular}
    if "gradients" in config.maps:
        pictures |= dict(zip(GRADIENTS, relight(imageset, gradient_weights(take.rig)), strict=True))
    if environments:
        harmonics = sh_images(imageset, take.rig, config.sh_order)
        for name, environment in environments.items():
            # Maps of every brightness get the same exposure.
            pictures[f"sh-{name}"] = sh_relight(harmonics, environment) / np.float32(environment.mean_luminance)
    return pictures


def _mask(imageset: Imageset, config: NormalsConfig) -> np.ndarray | None:
    """Where the subject is."""
    if config.mask == "none":
        return None
    if config.mask == "auto":
        mask = stack_foreground(imageset.radiance)
        return mask if mask.any() else None
    values = read_image(config.mask)
    grey = values if values.ndim == 2 else values[..., :3].max(axis=2)
    if grey.shape != imageset.full.shape[:2]:
        height, width = imageset.full.shape[:2]
        raise ConfigError(f"{config.mask}: {grey.shape[1]}x{grey.shape[0]} pixels, the take has {width}x{height}")
    return grey > grey.max() / 2


def _write(path: Path, picture: np.ndarray, stem: str, suffix: str, exposure: float) -> None:
    """One picture, replacing what a killed run or other settings left."""
    if suffix == "exr":
        write_exr(path, picture, overwrite=True)
    elif stem == "normals":
        write_png(path, np.round((picture + 1) * 127.5).astype(np.uint8), overwrite=True)
    elif stem == "occlusion":
        write_png(path, np.round(picture * 255).astype(np.uint8), overwrite=True)
    else:
        # Under a white sky a diffuse surface that nothing hides shows π times what it shows under one light it faces.
        write_png(path, to_display(picture, exposure * (np.pi if stem == "albedo" else 1)), overwrite=True)


def _claim(
    out: Path, take_path: Path, config: NormalsConfig, environments: Sequence[EnvironmentMap], overwrite: bool
) -> None:
    """Say in the folder what its pictures are made with; the same again goes on, anything else needs ``overwrite``."""
    status = take_path.stat()
    document = {
        "command": "normals", "take": take_path.name, "bytes": status.st_size, "modified_ns": status.st_mtime_ns,
        "environments": [hashlib.sha256(e.radiance.tobytes()).hexdigest() for e in environments],
        **config.model_dump(mode="json"),
    }
    stored = out / "settings.json"
    text = json.dumps(document, indent=1) + "\n"
    if stored.exists() and stored.read_text(encoding="utf-8") == text and not overwrite:
        return
    files = [path for stem in ("*.exr", "*.png", "settings.json") for path in out.glob(stem)]
    if files and not overwrite:
        raise OutputExistsError(
            f"{out}: holds {files[0].name}, made with other settings; choose another folder or --overwrite"
        )
    for path in files:
        if path.stem[-5:-4] == "_" or path == stored:
            path.unlink()
    with whole_file(stored, overwrite=overwrite) as part:
        part.write_text(text, encoding="utf-8")
