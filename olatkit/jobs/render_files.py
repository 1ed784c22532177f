"""Files of one chunk of a rendering: stills as they come, videos as parts, EXR parts at the end."""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np

from olatkit.errors import ConfigError
from olatkit.io.images import to_half, write_exr, write_exr_parts, write_png
from olatkit.io.video import CODECS, VideoWriter, join_videos
from olatkit.jobs.journal import Journal
from olatkit.jobs.shots import VIDEOS, RenderConfig, Shot, Still
from olatkit.render.pictures import to_display


class ChunkFiles(AbstractContextManager["ChunkFiles"]):
    """Takes the finished pictures of one chunk; every file is whole when the context ends, or not there.

    Parameters
    ----------
    shots : sequence of Shot
        The chunk.
    names : sequence of str
        Names of the lightings.
    config : RenderConfig
    journal : Journal
        Knows where parts of videos go.
    chunk : int
        Number of the chunk.
    """

    def __init__(
        self, shots: Sequence[Shot], names: Sequence[str], config: RenderConfig, journal: Journal, chunk: int
    ) -> None:
        self._names, self._config = names, config
        self._films = {
            path: (kind, journal.part(path, chunk)) for path, kind in films_of(shots)
        }
        self._writers: dict[Path, VideoWriter] = {}
        self._parts: dict[Path, dict[str, np.ndarray]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "ChunkFiles":
        for path, (kind, part) in self._films.items():
            writer = VideoWriter(
                part, fps=self._config.fps, codec=VIDEOS[kind], transfer=self._config.transfer, overwrite=True
            )
            self._writers[path] = self._stack.enter_context(writer)
        return self

    def add(self, shot: Shot, picture: np.ndarray, display: float) -> None:
        """Write a linear picture (H, W, 3) to all files of a shot; ``display`` is its factor for PNG and videos."""
        codes: dict[int, np.ndarray] = {}

        def shown(bits: int) -> np.ndarray:
            if bits not in codes:
                codes[bits] = to_display(picture, display, bits=bits, transfer=self._config.transfer)
            return codes[bits]

        for path, kind in shot.videos:
            self._writers[path].add(shown(CODECS[VIDEOS[kind]].bits))
        for still in shot.stills:
            if still.kind == "exr":
                self._add_exr(still, shot, picture)
            else:
                write_png(still.path, shown(16 if still.kind == "png16" else 8), overwrite=True)

    def _add_exr(self, still: Still, shot: Shot, picture: np.ndarray) -> None:
        """Linear, with what made it in the header; parts wait until all of their file are there."""
        image = picture * np.float32(2**self._config.exposure_stops)
        if self._config.half:
            try:
                image = to_half(image)
            except ValueError as error:
                raise ConfigError(f"{still.path}: {error}; leave out --half") from error
        if still.part:
            self._parts.setdefault(still.path, {})[still.part] = image
            return
        attributes = {
            "environment": self._names[shot.lighting], "imageset": shot.imageset, "yawDegrees": float(shot.yaw_deg),
            "lighting": self._config.lighting, "exposureStops": float(self._config.exposure_stops),
        }
        write_exr(still.path, image, attributes=attributes, overwrite=True)

    def end_imageset(self, imageset: int) -> None:
        """Write the multi-part files of an imageset."""
        attributes = {
            "imageset": imageset, "lighting": self._config.lighting,
            "exposureStops": float(self._config.exposure_stops),
        }
        for path, parts in self._parts.items():
            write_exr_parts(path, parts, attributes=attributes, overwrite=True)
        self._parts = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def films_of(shots: Sequence[Shot]) -> list[tuple[Path, str]]:
    """Videos of some shots with their formats, each once."""
    return list(dict.fromkeys(film for shot in shots for film in shot.videos))


def join_films(chunks: Sequence[Sequence[Shot]], config: RenderConfig, journal: Journal) -> None:
    """Make every video from the parts of its chunks; the settings are stored in it as a comment."""
    parts: dict[tuple[Path, str], list[Path]] = {}
    for number, shots in enumerate(chunks):
        for film in films_of(shots):
            parts.setdefault(film, []).append(journal.part(film[0], number))
    comment = json.dumps({"render": config.model_dump(exclude_defaults=True)})
    for (path, kind), pieces in parts.items():
        join_videos(pieces, path, codec=VIDEOS[kind], fps=config.fps, comment=comment, overwrite=True)
