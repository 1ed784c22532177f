"""Render a take under environment maps: stills, turntables and moving pictures by the OLAT sum."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np

from olatkit.envmap import EnvironmentMap
from olatkit.errors import ConfigError
from olatkit.imageset import Imageset
from olatkit.io.images import write_exr, write_png
from olatkit.io.outputs import refuse_existing
from olatkit.io.video import VideoWriter
from olatkit.jobs.shots import RenderConfig, Shot, plan_shots, unique_names
from olatkit.render.pictures import find_exposure, to_display
from olatkit.render.relight import relight
from olatkit.render.weights import cell_areas, light_weights, lost_power
from olatkit.rig import LightRig

# Pictures summed in one pass over an imageset; more would need gigabytes at large sizes.
LIGHTINGS_PER_PASS = 16


class Take(Protocol):
    """What rendering needs of a take: its imagesets and its rig."""

    rig: LightRig

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Imageset: ...


@dataclass(frozen=True)
class RenderReport:
    """What was written, and the numbers behind the pictures.

    Parameters
    ----------
    paths : tuple of Path
        Files written.
    exposures : dict
        Factor from linear to display of each map's PNG and MP4 pictures; empty if there are none.
    lost : dict
        Share of each map's power that no light's cell covers, (3,); zero without ``max_angle_deg``.
    """

    paths: tuple[Path, ...]
    exposures: dict[str, float]
    lost: dict[str, np.ndarray]


def render_take(
    take: Take, environments: Sequence[EnvironmentMap], out: str | os.PathLike[str], config: RenderConfig, *,
    overwrite: bool = False, progress: Callable[[int, int], object] | None = None,
) -> RenderReport:
    """Relight imagesets under maps and write pictures.

    Parameters
    ----------
    take : Take
        Length, ``take[i]`` and ``rig``; one imageset is in memory at a time.
    environments : sequence of EnvironmentMap
        Every map is rendered; names become file names.
    out : path
        A folder, or one file if it ends in .png, .exr or .mp4.
    config : RenderConfig
    overwrite : bool
        Replace existing files; otherwise any of them is an OutputExistsError before work begins.
    progress : callable, optional
        Called with pictures done and pictures in all.

    Returns
    -------
    RenderReport

    Raises
    ------
    ConfigError
        Imageset out of range, take and rig disagree, several pictures for one file.
    OutputExistsError
        An output exists and ``overwrite`` is false.

    Notes
    -----
    PNG and MP4 are sRGB with one exposure per map: the take's factor (foreground luminance 0.25 under a white sky
    of radiance 1) over the map's mean luminance, times ``2**exposure_stops``. EXR is linear, light weights times
    images, times ``2**exposure_stops`` only.
    """
    names = unique_names(environments)
    shots = plan_shots(len(take), names, Path(out), config)
    paths = tuple(dict.fromkeys(path for shot in shots for path in (*shot.stills, shot.video) if path is not None))
    for path in paths:
        refuse_existing(path, overwrite=overwrite)
    for_display = any(path.suffix != ".exr" for path in paths)
    exposure = take_exposure(take) * 2**config.exposure_stops if for_display else 0.0
    factors = [exposure / environment.mean_luminance for environment in environments]
    lost = [lost_power(map_, _weights(map_, config.yaw_deg, take.rig, config)) for map_ in environments]
    done = 0
    with ExitStack() as stack:
        videos = {
            path: stack.enter_context(VideoWriter(path, fps=config.fps, overwrite=overwrite))
            for path in dict.fromkeys(shot.video for shot in shots) if path is not None
        }
        for shot, linear in _render_shots(take, environments, shots, config):
            if shot.video is not None:
                videos[shot.video].add(to_display(linear, factors[shot.environment]))
            _write_stills(shot, linear, factors[shot.environment], config, names, overwrite)
            done += 1
            if progress:
                progress(done, len(shots))
    exposures = dict(zip(names, factors, strict=True)) if for_display else {}
    return RenderReport(paths, exposures, dict(zip(names, lost, strict=True)))


def take_exposure(take: Take) -> float:
    """Display exposure of a take under maps of mean luminance 1: its own ``kappa`` if it has one.

    Otherwise the median over its first, middle and last imageset of the factor that gives the foreground a median
    luminance of 0.25 under a white sky.
    """
    kappa = getattr(take, "kappa", None)
    if kappa:
        return float(kappa)
    areas = cell_areas(take.rig)
    return float(np.median([find_exposure(_load(take, i), areas) for i in sorted({0, len(take) // 2, len(take) - 1})]))


def _render_shots(
    take: Take, environments: Sequence[EnvironmentMap], shots: Sequence[Shot], config: RenderConfig
) -> Iterator[tuple[Shot, np.ndarray]]:
    """Linear picture of every shot; each imageset is read once."""
    for index, group in groupby(shots, key=lambda shot: shot.imageset):
        imageset, waiting = _load(take, index), list(group)
        for start in range(0, len(waiting), LIGHTINGS_PER_PASS):
            batch = waiting[start : start + LIGHTINGS_PER_PASS]
            weights = [_weights(environments[shot.environment], shot.yaw_deg, take.rig, config) for shot in batch]
            yield from zip(batch, relight(imageset, np.stack(weights)), strict=True)


def _load(take: Take, index: int) -> Imageset:
    """One imageset, checked against the rig."""
    imageset = take[index]
    if len(imageset) != len(take.rig):
        raise ConfigError(f"the take has {len(imageset)} lights, its rig '{take.rig.name}' has {len(take.rig)}")
    return imageset


def _weights(environment: EnvironmentMap, yaw_deg: float, rig: LightRig, config: RenderConfig) -> np.ndarray:
    """Light weights of a map turned at full resolution and then, by default, averaged to 16 x 16."""
    if not np.any(rig.enabled):
        raise ConfigError(f"rig '{rig.name}' has no enabled light, so there is nothing to render with")
    turned = environment.rotate(yaw_deg) if yaw_deg % 360 else environment
    lighting = turned.downsample(16, 16) if config.lighting == "16x16" else turned
    return light_weights(lighting, rig, max_angle_deg=config.max_angle_deg)


def _write_stills(
    shot: Shot, linear: np.ndarray, factor: float, config: RenderConfig, names: Sequence[str], overwrite: bool
) -> None:
    """PNG for display, EXR linear with what made it in the header."""
    for path in shot.stills:
        if path.suffix.lower() == ".png":
            write_png(path, to_display(linear, factor), overwrite=overwrite)
            continue
        attributes = {
            "environment": names[shot.environment], "imageset": shot.imageset, "yawDegrees": float(shot.yaw_deg),
            "lighting": config.lighting, "exposureStops": float(config.exposure_stops),
        }
        write_exr(path, linear * np.float32(2**config.exposure_stops), attributes=attributes, overwrite=overwrite)
