"""Render a take under any light: stills, turntables and moving pictures by the OLAT sum."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from olatkit import __version__
from olatkit.envmap import EnvironmentMap
from olatkit.errors import ConfigError, OlatkitError
from olatkit.io.documents import rig_to_document
from olatkit.io.outputs import refuse_existing
from olatkit.io.run_lock import running_alone
from olatkit.jobs.composer import Composer, Scale
from olatkit.jobs.imageset_reader import ImagesetReader, Take
from olatkit.jobs.journal import Journal
from olatkit.jobs.lightings import Lighting, MapSource, map_key, standing_maps, unique_names
from olatkit.jobs.render_files import ChunkFiles, Tagger, films_of, join_films
from olatkit.jobs.shots import RenderConfig, Shot, plan_shots
from olatkit.render.basis import LightingBasis, check_device
from olatkit.render.mixer import MapMixer
from olatkit.render.pictures import above_white, find_exposure
from olatkit.render.weights import METHODS, cell_areas
from olatkit.rig import LightRig
from olatkit.wording import counted

# Pictures summed in one pass over an imageset; more would need gigabytes at large sizes.
LIGHTINGS_PER_PASS = 16


@dataclass(frozen=True)
class RenderReport:
    """What was written, and the numbers behind the pictures.

    Parameters
    ----------
    paths : tuple of Path
        Files written.
    exposures : dict
        Factor from linear to display of each lighting's PNG and video pictures; empty if there are none.
    lost : dict
        Share of the power of each lighting that no light's cell covers, (N, 3) for the N pictures that were made; zero
        without ``max_angle_deg``.
    cut : dict
        What PNG and videos cut off above white, (N, 2): share of the subject's pixels of which a channel is cut, and by
        how many stops that channel is above white in the brightest hundredth of them. Empty without such files.
    kept : int
        Pictures that an interrupted run had finished.
    """

    paths: tuple[Path, ...]
    exposures: dict[str, float]
    lost: dict[str, np.ndarray]
    cut: dict[str, np.ndarray]
    kept: int = 0


def render_take(
    take: Take, lightings: Sequence[EnvironmentMap | Lighting], out: str | os.PathLike[str], config: RenderConfig, *,
    rig: LightRig | None = None, overwrite: bool = False, progress: Callable[[int, int], object] | None = None,
    resumed: Callable[[int], object] | None = None,
) -> RenderReport:
    """Relight imagesets and write pictures.

    Parameters
    ----------
    take : Take
        Length, ``take[i]`` and ``rig``; two imagesets are in memory at a time, whatever the length.
    lightings : sequence of EnvironmentMap or Lighting
        Every one is rendered; names become file names. See :mod:`olatkit.jobs.lightings`.
    out : path
        A folder, or one file if it ends in .png, .exr, .mp4, .mov or .mkv.
    config : RenderConfig
    rig : LightRig, optional
        In place of the take's own, for better directions; as many lights.
    overwrite : bool
        Replace existing files; otherwise any of them is an OutputExistsError before work begins.
    progress : callable, optional
        Called with pictures done and pictures in all.
    resumed : callable, optional
        Called once before the work, with the pictures that an interrupted run had finished.

    Returns
    -------
    RenderReport

    Raises
    ------
    ConfigError
        Imageset out of range, take and rig disagree, several pictures for one file, a file of another kind.
    OutputExistsError
        An output exists and ``overwrite`` is false, or another run is writing it.

    Notes
    -----
    PNG and videos have one exposure per lighting: the take's factor (foreground luminance 0.25 under a white sky
    of radiance 1) over the lighting's mean luminance, times ``2**exposure_stops``. EXR is linear, light weights times
    images, times ``2**exposure_stops`` only.

    Pictures are made in chunks. A run that is killed finds its finished chunks in ``OUT.parts`` and goes on.
    """
    out, rig = Path(out), rig or take.rig
    if len(rig) != len(take.rig):
        raise ConfigError(f"rig '{rig.name}' has {counted(len(rig), 'light')}, the take has {len(take.rig)}; leave "
                          "out --rig")
    if not np.any(rig.enabled):
        raise ConfigError(f"rig '{rig.name}' has no enabled light, so there is nothing to render with")
    if config.method not in METHODS:
        raise ConfigError(f"method is '{config.method}', expected one of {', '.join(METHODS)}")
    lit = _named(lightings)
    chunks = plan_shots(len(take), lit, out, config)
    paths, parts = _paths(chunks), _parts_folder(out, chunks)
    with running_alone(parts):
        settings = _settings(take, rig, lit, config) | {"chunks": [len(shots) for shots in chunks]}
        journal = Journal(parts, settings, overwrite=overwrite)
        if not journal.goes_on:
            for path in paths:
                refuse_existing(path, overwrite=overwrite)
        work = _Work(take, rig, lit, config, for_display=any(path.suffix != ".exr" for path in paths))
        journal.begin()
        kept = sum(len(shots) for number, shots in enumerate(chunks) if journal.is_done(number))
        if resumed:
            resumed(kept)
        try:
            work.run(chunks, journal, progress)
            join_films(chunks, config, journal, work.tagger, [scale.display for scale in work.scales])
        except BaseException:
            journal.give_up()
            raise
        journal.finish()
    names = [lighting.name for lighting in lit]
    exposures = {name: scale.display for name, scale in zip(names, work.scales, strict=True)}
    lost = {name: np.reshape(rows, (-1, 3)) for name, rows in zip(names, work.lost, strict=True)}
    cut = {name: np.reshape(rows, (-1, 2)) for name, rows in zip(names, work.cut, strict=True)}
    return RenderReport(paths, exposures if work.for_display else {}, lost, cut if work.for_display else {}, kept)


def take_exposure(take: Take) -> float:
    """Display exposure of a take under maps of mean luminance 1: its own ``kappa`` if it has one.

    Otherwise the median over its first, middle and last imageset of the factor that gives the foreground a median
    luminance of 0.25 under a white sky.
    """
    kappa = getattr(take, "kappa", None)
    if kappa:
        return float(kappa)
    areas = cell_areas(take.rig)
    indices = sorted({0, len(take) // 2, len(take) - 1})
    return float(np.median([find_exposure(take[i], areas) for i in indices]))


class _Work:
    """Everything that the pictures of one rendering share."""

    def __init__(
        self, take: Take, rig: LightRig, lightings: Sequence[Lighting], config: RenderConfig, *, for_display: bool
    ) -> None:
        self._rig, self._lightings, self._config = rig, lightings, config
        if config.device != "cpu":
            check_device(config.device)
        self._reader = ImagesetReader(take, rig, codes=(config.device, config.precision) == ("cpu", "float32"))
        loads = {map_key(x.name, i): source.load for x in lightings for i, source in enumerate(x.sources)}
        self._mixer = MapMixer(
            lambda key: loads[key](), rig, lighting=config.lighting, method=config.method,
            max_angle_deg=config.max_angle_deg, subject_m=config.subject_m,
        )
        self._composer = Composer(config, self._mixer, len(take))
        source = getattr(take, "path", None)
        self.tagger = Tagger("" if source is None else Path(source).name, [x.name for x in lightings], config)
        self.for_display = for_display
        self._check_weights()
        self.lost: list[list[np.ndarray]] = [[] for _ in lightings]
        self.cut: list[list[tuple[float, float]]] = [[] for _ in lightings]
        self.scales = self._find_scales(take)

    def _check_weights(self) -> None:
        """Find weights that cannot be before work begins."""
        try:
            self._mixer.weights(self._lightings[0].at(0, self._config.fps).turned(self._config.yaw_deg))
        except OlatkitError:
            raise
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def _find_scales(self, take: Take) -> list[Scale]:
        """Units of every lighting; ones, which nothing asks for, if only the plain linear sum is written."""
        config = self._config
        if not (self.for_display or config.background or config.ball):
            return [Scale(1.0, 1.0)] * len(self._lightings)
        exposure = take_exposure(take)
        references = [lighting.reference_luminance(self._mixer, config.fps) for lighting in self._lightings]
        for lighting, reference in zip(self._lightings, references, strict=True):
            if not reference > 0:
                raise ConfigError(f"'{lighting.name}' is dark at all times: no exposure shows it")
        return [Scale(exposure * 2**config.exposure_stops / reference, 1 / exposure) for reference in references]

    def run(
        self, chunks: Sequence[Sequence[Shot]], journal: Journal, progress: Callable[[int, int], object] | None
    ) -> None:
        """Make all chunks that are not done."""
        todo = [(number, shots) for number, shots in enumerate(chunks) if not journal.is_done(number)]
        total = sum(len(shots) for shots in chunks)
        done = total - sum(len(shots) for _, shots in todo)
        order = [index for index, _ in groupby(shot.imageset for _, shots in todo for shot in shots)]
        imagesets = self._reader.read_ahead(order)
        current, basis = -1, None
        for number, shots in todo:
            with ChunkFiles(shots, self.tagger, self._config, journal, number) as files:
                for index, group in groupby(shots, key=lambda shot: shot.imageset):
                    if index != current:
                        basis = None  # let go of the last imageset before the next one is taken
                        current, basis = index, self._basis(next(imagesets))
                    assert basis is not None
                    for shot, picture in self._pictures(basis, index, list(group)):
                        files.add(shot, picture, self.scales[shot.lighting].display)
                        done += 1
                        if progress:
                            progress(done, total)
                    files.end_imageset(index)
            journal.mark_done(number)

    def _basis(self, images: np.ndarray) -> LightingBasis:
        precision = "sqrt12" if self._reader.coded else self._config.precision
        return LightingBasis(images, device=self._config.device, precision=precision)

    def _pictures(
        self, basis: LightingBasis, index: int, shots: Sequence[Shot]
    ) -> Iterator[tuple[Shot, np.ndarray]]:
        """Finished linear picture of every shot of one imageset."""
        matte: np.ndarray | None = None
        for start in range(0, len(shots), LIGHTINGS_PER_PASS):
            batch = shots[start : start + LIGHTINGS_PER_PASS]
            lights = [
                self._lightings[s.lighting].at(s.picture, self._config.fps).turned(s.yaw_deg) for s in batch
            ]
            weights = [self._mixer.weights(light) for light in lights]
            white = self._composer.needs_white and start == 0
            if white:
                weights.append(np.repeat(cell_areas(self._rig)[:, None], 3, axis=1))
            pictures = [self._reader.whole_frame(picture) for picture in basis.relight(np.stack(weights))]
            if start == 0:
                matte = self._composer.matte(index, pictures[0].shape[:2], pictures[-1] if white else None)
            for shot, light, picture in zip(batch, lights, pictures, strict=False):
                self.lost[shot.lighting].append(self._mixer.lost_share(light))
                if self.for_display:
                    self.cut[shot.lighting].append(above_white(picture, self.scales[shot.lighting].display))
                yield shot, self._composer.compose(picture, matte, light, self.scales[shot.lighting])


def _named(lightings: Sequence[EnvironmentMap | Lighting]) -> list[Lighting]:
    """Maps as lightings, and no two of one name."""
    plain: list[Lighting] = []
    for lighting in lightings:
        if isinstance(lighting, EnvironmentMap):
            plain += standing_maps([MapSource.of(lighting)])
        else:
            plain.append(lighting)
    return [replace(x, name=name) for x, name in zip(plain, unique_names(plain), strict=True)]  # type: ignore[type-var]


def _paths(chunks: Sequence[Sequence[Shot]]) -> tuple[Path, ...]:
    """Every file once, in order of work."""
    shots = [shot for chunk in chunks for shot in chunk]
    stills = [still.path for shot in shots for still in shot.stills]
    return tuple(dict.fromkeys([*stills, *(path for path, _ in films_of(shots))]))


def _parts_folder(out: Path, chunks: Sequence[Sequence[Shot]]) -> Path:
    """Where unfinished work lies: beside one file, inside a folder."""
    paths = _paths(chunks)
    return out.with_name(out.name + ".parts") if paths == (out,) else out / "render.parts"


def _settings(take: Take, rig: LightRig, lightings: Sequence[Lighting], config: RenderConfig) -> dict[str, Any]:
    """All that decides the pictures, as JSON."""
    files = [name for name in (config.background, config.matte) if name is not None]
    return {
        "olatkit": __version__, "take": _stamp(getattr(take, "path", None)), "imagesets": len(take),
        "rig": rig_to_document(rig), "config": config.model_dump(), "layers": [_stamp(name) for name in files],
        "lightings": [
            {"name": x.name, "kind": type(x).__name__, "maps": [source.stamp for source in x.sources],
             "track": x.track.model_dump() if hasattr(x, "track") else None}
            for x in lightings
        ],
    }


def _stamp(path: str | os.PathLike[str] | None) -> str:
    """Name, size and time of change of a file or folder; the plain text of what is none."""
    if path is None or not Path(path).exists():
        return str(path)
    status = Path(path).stat()
    return f"{Path(path).name} {status.st_size} {status.st_mtime_ns}"
