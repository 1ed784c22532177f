"""What turns the raw frames of a take into light: measurements of the camera, and decisions about the take."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from olatkit.vision.demosaic import DemosaicModel


@dataclass(frozen=True, eq=False)
class CameraCalibration:
    """What was measured about the camera, each None where nothing was given.

    Parameters
    ----------
    dark : ndarray, shape (H, W[, 3])
        Mean raw frame with the lights off, subtracted instead of the black level.
    bad : ndarray of bool, shape (H, W)
        Bad pixels, replaced before anything else.
    linearity : ndarray, shape (K,), float32
        Light at the sensor values 0, 1 ... K - 1 above black, 1 = full scale; rising.
    flat : ndarray, shape (H, W[, 3])
        Lens shading relative to its mean; divided out.
    color_matrix : ndarray, shape (3, 3)
        Camera RGB to linear Rec.709.
    color_error : tuple of float
        Mean and largest residual ΔE*ab of the chart's patches after the matrix.
    full_well_e, read_noise_e : float
        Electrons at full scale, and noise without light in electrons.
    """

    dark: np.ndarray | None = None
    bad: np.ndarray | None = None
    linearity: np.ndarray | None = None
    flat: np.ndarray | None = None
    color_matrix: np.ndarray | None = None
    color_error: tuple[float, float] | None = None
    full_well_e: float | None = None
    read_noise_e: float | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """Those measurements that are arrays and were made, by name."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


@dataclass(frozen=True, eq=False)
class Calibration:
    """Everything needed to turn a raw frame of one take into linear light.

    Parameters
    ----------
    black, white : float
        Raw values of no light and of full scale.
    bayer : str or None
        Colour filter array of the full frame; None for mono and colour frames.
    box : tuple of int
        (top, left, height, width) of the region of interest in pixels of the output picture; top and left even
        unless resized.
    crop : tuple of int, optional
        Part of the sensor that makes the picture, even top and left; None for the whole frame.
    size : tuple of int, optional
        (height, width) to which the crop is reduced by area averaging; None to keep the camera's pixels.
    crosstalk : float
        Share of a frame's light that leaks into the next one.
    saturation : float
        Share of full scale from which a raw value counts as saturated.
    shielded : tuple of int, optional
        First and one past the last shielded column of the sensor, from which row offsets are taken.
    transients : float
        Standard deviations of noise from which a single pixel that stands out of a frame is replaced; 0 for none.
    noise : tuple of float
        Variance per unit of signal, and standard deviation without light, in raw values.
    model : DemosaicModel
        Assumptions of the demosaicing filters.
    camera : CameraCalibration
        What was measured.
    """

    black: float
    white: float
    bayer: str | None
    box: tuple[int, int, int, int]
    crop: tuple[int, int, int, int] | None = None
    size: tuple[int, int] | None = None
    crosstalk: float = 0.0
    saturation: float = 0.985
    shielded: tuple[int, int] | None = None
    transients: float = 0.0
    noise: tuple[float, float] = (0.0, 0.0)
    model: DemosaicModel = field(default_factory=DemosaicModel)
    camera: CameraCalibration = field(default_factory=CameraCalibration)

    def document(self) -> dict[str, Any]:
        """Everything but the arrays of ``camera``, as numbers, texts and lists."""
        numbers = asdict(replace(self, camera=CameraCalibration()))
        del numbers["camera"]
        return numbers

    @classmethod
    def from_document(cls, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Calibration":
        """Undo :meth:`document`; ``arrays`` are those of :meth:`CameraCalibration.arrays`, others are ignored."""
        known = {part.name for part in fields(CameraCalibration)}
        camera: dict[str, Any] = {name: array for name, array in arrays.items() if name in known}
        values = _tuples(document)
        model = DemosaicModel(**_tuples(values.pop("model")))
        return cls(**values, model=model, camera=CameraCalibration(**camera))


def _tuples(document: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows lists only."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in document.items()}
