"""Files of one chunk of a rendering: stills as they come, videos as parts, EXR parts at the end."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from olatkit import __version__
from olatkit.errors import ConfigError
from olatkit.io.images import to_half, write_exr, write_exr_parts, write_png
from olatkit.io.tags import film_comment
from olatkit.io.video import CODECS, VideoWriter, join_videos
from olatkit.jobs.journal import Journal
from olatkit.jobs.shots import VIDEOS, RenderConfig, Shot, Still
from olatkit.render.pictures import to_display

Tags = dict[str, str | int | float]


@dataclass(frozen=True)
class Tagger:
    """What the files of a rendering say of themselves: ``take`` is its file's name, ``names`` those of the lightings."""

    take: str
    names: Sequence[str]
    config: RenderConfig

    def shared(self, imageset: int | str) -> Tags:
        """Of a file with several lightings; linear."""
        take: Tags = {"take": self.take} if self.take else {}
        return take | {
            "imageset": imageset, "lighting": self.config.lighting, "exposureStops": float(self.config.exposure_stops),
            "Software": f"olatkit {__version__}",
        }

    def linear(self, shot: Shot) -> Tags:
        """Of one linear picture."""
        own: Tags = {"environment": self.names[shot.lighting], "yawDegrees": float(shot.yaw_deg)}
        if shot.moving:
            own["picture"] = shot.picture
        return own | self.shared(shot.imageset)

    def shown(self, shot: Shot, display: float) -> Tags:
        """Of one picture to look at, which ``display`` brings from linear light to display light."""
        return self.linear(shot) | {"displayFactor": display, "transfer": self.config.transfer}

    def film(self, shot: Shot, display: float) -> Tags:
        """Of a video that a picture is a frame of."""
        imageset = "all" if self.config.imageset == "all" else shot.imageset
        said = self.shown(shot, display) | {"imageset": imageset}
        return {name: value for name, value in said.items() if name not in ("picture", "yawDegrees")}


class ChunkFiles(AbstractContextManager["ChunkFiles"]):
    """Takes the finished pictures of one chunk; every file is whole when the context ends, or not there.

    Parameters
    ----------
    shots : sequence of Shot
        The chunk.
    tagger : Tagger
        Knows what the files say of themselves.
    config : RenderConfig
    journal : Journal
        Knows where parts of videos go.
    chunk : int
        Number of the chunk.
    """

    def __init__(
        self, shots: Sequence[Shot], tagger: Tagger, config: RenderConfig, journal: Journal, chunk: int
    ) -> None:
        self._tagger, self._config = tagger, config
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
                codes_ = shown(16 if still.kind == "png16" else 8)
                write_png(still.path, codes_, texts=self._tagger.shown(shot, display), overwrite=True)

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
        write_exr(still.path, image, attributes=self._tagger.linear(shot), overwrite=True)

    def end_imageset(self, imageset: int) -> None:
        """Write the multi-part files of an imageset."""
        for path, parts in self._parts.items():
            write_exr_parts(path, parts, attributes=self._tagger.shared(imageset), overwrite=True)
        self._parts = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def films_of(shots: Sequence[Shot]) -> list[tuple[Path, str]]:
    """Videos of some shots with their formats, each once."""
    return list(dict.fromkeys(film for shot in shots for film in shot.videos))


def join_films(
    chunks: Sequence[Sequence[Shot]], config: RenderConfig, journal: Journal, tagger: Tagger, displays: Sequence[float]
) -> None:
    """Make every video from the parts of its chunks; tags and settings are stored in it as a comment.

    ``displays`` is the factor of each lighting from linear to display light.
    """
    parts: dict[tuple[Path, str], list[Path]] = {}
    first: dict[tuple[Path, str], Shot] = {}
    for number, shots in enumerate(chunks):
        for film in films_of(shots):
            parts.setdefault(film, []).append(journal.part(film[0], number))
        for shot in shots:
            first |= {film: shot for film in shot.videos if film not in first}
    for (path, kind), pieces in parts.items():
        shot = first[path, kind]
        comment = film_comment(tagger.film(shot, displays[shot.lighting]), config.model_dump(exclude_defaults=True))
        join_videos(pieces, path, codec=VIDEOS[kind], fps=config.fps, comment=comment, overwrite=True)
