"""From the OLAT sum to the picture that is shown: background behind the subject, balls beside it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from olatkit.errors import ConfigError
from olatkit.io.layers import MATTE_SUFFIXES, list_pictures, read_background, read_matte
from olatkit.jobs.shots import RenderConfig
from olatkit.render.compose import beside_balls, camera_directions, fill_frame, find_matte, over
from olatkit.render.lighting_ball import LightingBall
from olatkit.render.lights import Light
from olatkit.render.mixer import MapMixer
from olatkit.render.tracks import parse_color
from olatkit.wording import counted


@dataclass(frozen=True)
class Scale:
    """Units of one lighting's pictures.

    Parameters
    ----------
    display : float
        From linear picture to display light, where 1 is white.
    radiance : float
        From a map's radiance to linear picture: a white surface under a white sky is as bright as the sky.
    """

    display: float
    radiance: float


class Composer:
    """Puts pictures over a background and balls beside them, as a config says; without either it changes nothing.

    Parameters
    ----------
    config : RenderConfig
    mixer : MapMixer
    count : int
        Imagesets of the take, for folders of mattes.

    Raises
    ------
    ConfigError, FormatError
        The background is neither a colour, nor "map", nor a picture; mattes are missing.
    """

    def __init__(self, config: RenderConfig, mixer: MapMixer, count: int) -> None:
        if "fov_deg" in config.model_fields_set and config.background != "map":
            raise ConfigError("--fov needs --background map, which it is for")
        self._config, self._mixer = config, mixer
        self._background = _read_background(config.background)
        self._mattes = _find_mattes(config, count)
        self._ball: LightingBall | None = None
        self._filled: np.ndarray | None = None
        self._rays: tuple[np.ndarray, float] | None = None

    @property
    def needs_white(self) -> bool:
        """True if mattes are to be found in pictures under a white sky."""
        return self._config.background is not None and not self._mattes

    def matte(self, imageset: int, shape: tuple[int, int], white: np.ndarray | None) -> np.ndarray | None:
        """Coverage by the subject in an imageset, (H, W), or None if there is no background."""
        if self._config.background is None:
            return None
        if not self._mattes:
            assert white is not None
            return find_matte(white)
        return read_matte(self._mattes[imageset if len(self._mattes) > 1 else 0], shape)

    def compose(self, picture: np.ndarray, matte: np.ndarray | None, light: Light, scale: Scale) -> np.ndarray:
        """The picture to show, linear and in the unit of ``picture`` (H, W, 3)."""
        if matte is not None:
            picture = over(picture, matte, self._behind(picture.shape, light, scale)).astype(np.float32)
        if self._config.ball:
            environment = self._mixer.small_map(light)
            shown = type(environment)(environment.radiance * np.float32(scale.radiance), environment.name)
            size = min(picture.shape[0] // 2, picture.shape[1])
            self._ball = self._ball or LightingBall(max(size, 1))
            picture = beside_balls(picture, self._ball, shown)
        return picture

    def _behind(self, shape: tuple[int, ...], light: Light, scale: Scale) -> np.ndarray:
        """Background of the frame in the unit of the picture."""
        height, width = shape[:2]
        if self._background is None:
            self._rays = self._rays or camera_directions(height, width, self._config.fov_deg)
            return self._mixer.view(light, *self._rays) * np.float32(scale.radiance)
        if self._filled is None:
            self._filled = fill_frame(self._background, height, width)
        return self._filled / np.float32(scale.display)


def _read_background(background: str | None) -> np.ndarray | None:
    """A colour as one pixel, a picture as it is, display-linear; None for the map or no background."""
    if background in (None, "map"):
        return None
    assert background is not None
    if background.startswith("#"):
        try:
            return np.array(parse_color(background), np.float32).reshape(1, 1, 3)
        except ValueError as error:
            raise ConfigError(f"--background {error}") from error
    if not Path(background).is_file():
        raise ConfigError(f"--background {background!r} is no picture, expected a file, 'map', or '#rrggbb'")
    return read_background(background)


def _find_mattes(config: RenderConfig, count: int) -> list[Path]:
    """Mattes that the user gave: one, or one per imageset."""
    if config.matte is None:
        return []
    if config.background is None:
        raise ConfigError("--matte needs --background, which it is for")
    path = Path(config.matte)
    if not path.is_dir():
        return [path]
    found = list_pictures(path, MATTE_SUFFIXES)
    if len(found) != count:
        raise ConfigError(f"{path}: {counted(len(found), 'matte')} for a take of {counted(count, 'imageset')}, "
                          "expected one each")
    return found
