"""A trained relighting network for the pictures of a user: NumPy in, NumPy out."""

import os

import numpy as np
import torch

from olatkit.envmap import EnvironmentMap
from olatkit.learn.checkpoint import load_network
from olatkit.learn.network import LIGHT_SIZE, RelightingNetwork
from olatkit.learn.variants import STRIDE

_ROUNDING = 1e-3  # by which floats may leave 0 to 1


class Relighter:
    """A trained network that shows the subject of a picture under another light.

    Parameters
    ----------
    network : RelightingNetwork
        In evaluation mode, on any device; :meth:`load` reads one from a training's folder.
    """

    def __init__(self, network: RelightingNetwork) -> None:
        self._network = network

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "cpu") -> "Relighter":
        """Read the averaged weights of a training.

        Parameters
        ----------
        path : path-like
            Folder of ``olatkit train`` (its newest checkpoint), or one ``step-N.pt``.
        device : str
            Where the network runs, such as cpu or cuda.

        Raises
        ------
        FormatError
            There is no checkpoint, or it is damaged.
        """
        return cls(load_network(path, device=device))

    @torch.inference_mode()
    def __call__(
        self, frame_srgb: np.ndarray, lighting: EnvironmentMap | np.ndarray, state: None = None
    ) -> tuple[np.ndarray, None]:
        """Relight one frame.

        Parameters
        ----------
        frame_srgb : ndarray, shape (H, W, 3), uint8 or float
            sRGB encoded, 0 to 255 or 0 to 1. Any size; the network does best near the size it was trained at.
        lighting : EnvironmentMap or ndarray
            A map is averaged over 16x16 cells and scaled to mean luminance 1, as in training. An array
            (16, 16, 3) of linear radiance, such as a lighting of a bank, is taken as it is.
        state : None
            What the call on the frame before gave back. Today's network treats every frame alone and keeps nothing.

        Returns
        -------
        relit_srgb : ndarray, shape (H, W, 3)
            Of the type of ``frame_srgb``. Only the subject means anything: backgrounds are not learned.
        state : None
            For the next frame.

        Raises
        ------
        ValueError
            Shape, type or values of frame or lighting are none of the above.
        """
        frame, light = _check_frame(frame_srgb), _light(lighting)
        height, width = frame.shape[:2]
        # Sides must be multiples of the network's stride; what is added repeats the edge and is cut off again.
        padded = np.pad(frame, ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0)), mode="edge")
        device = next(self._network.parameters()).device
        picture, target = (_tensor(array, device) for array in (padded, light))
        relit = self._network(picture, target)[0][0].float().cpu().permute(1, 2, 0).numpy()[:height, :width]
        if frame_srgb.dtype == np.uint8:
            return np.rint(255 * relit).astype(np.uint8), None
        return np.ascontiguousarray(relit, frame_srgb.dtype), None


def _check_frame(frame: np.ndarray) -> np.ndarray:
    """A frame as float32 from 0 to 1."""
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(f"frame has shape {frame.shape}, expected (height, width, 3)")
    if frame.dtype == np.uint8:
        return frame.astype(np.float32) / 255
    if frame.dtype.kind != "f":
        raise ValueError(f"frame is {frame.dtype}, expected uint8, or floats from 0 to 1")
    if not (frame.min() >= -_ROUNDING and frame.max() <= 1 + _ROUNDING):
        raise ValueError(f"frame has values from {frame.min():g} to {frame.max():g}, expected sRGB from 0 to 1; "
                         "clip it first")
    return frame.astype(np.float32).clip(0, 1)


def _light(lighting: EnvironmentMap | np.ndarray) -> np.ndarray:
    """A lighting (16, 16, 3) as the network knows it, linear."""
    if isinstance(lighting, EnvironmentMap):
        if not lighting.mean_luminance > 0:
            raise ValueError(f"environment '{lighting.name}' is black, expected light")
        return lighting.downsample(LIGHT_SIZE, LIGHT_SIZE).radiance / np.float32(lighting.mean_luminance)
    light = np.asarray(lighting, np.float32)
    if light.shape != (LIGHT_SIZE, LIGHT_SIZE, 3):
        raise ValueError(f"lighting has shape {light.shape}, expected ({LIGHT_SIZE}, {LIGHT_SIZE}, 3) or an "
                         "EnvironmentMap")
    if not (np.isfinite(light).all() and light.min() >= 0):
        raise ValueError("lighting holds values that are negative or not finite, expected linear radiance >= 0")
    return light


def _tensor(image: np.ndarray, device: torch.device) -> torch.Tensor:
    """(H, W, 3) to a batch of one, channels first."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].to(device)
