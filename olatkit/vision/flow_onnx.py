"""Flow by a network of the user's, an ONNX file in the manner of RAFT."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from olatkit.errors import ConfigError, FormatError
from olatkit.vision.onnx_models import OnnxModel, open_model

# Networks of this kind halve the picture three times.
_MULTIPLE = 8
_RANGES = {"0..255": (1.0, 0.0), "0..1": (1 / 255, 0.0), "-1..1": (2 / 255, -1.0)}


def open_flow_model(path: str | Path | None, values: str = "0..255") -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A flow network: two float32 inputs (1, 3, h, w), the last output of two channels (1, 2, h, w) is the flow [px].

    Parameters
    ----------
    path : path
        ONNX file.
    values : {'0..255', '0..1', '-1..1'}
        Range of RGB that the network expects.

    Returns
    -------
    callable (reference_srgb, other_srgb) -> flow
        Pictures (H, W, 3) uint8, flow (H, W, 2) float32 on the grid of the reference. A free h and w become the next
        multiples of 8, by repeating the border; for a fixed size pictures are scaled, and so is the flow.

    Raises
    ------
    ConfigError
        No file was given, or onnxruntime is not installed.
    FormatError
        The file is not ONNX, or its inputs or outputs have another form.
    """
    if path is None:
        raise ConfigError("flow 'onnx' needs a network: set flow_onnx to an ONNX file that takes two pictures")
    model = open_model(path)
    shapes = model.input_shapes
    if len(shapes) != 2 or any(len(s) != 4 or s[1] not in (3, None) for s in shapes) or shapes[0] != shapes[1]:
        raise FormatError(f"{model.path}: inputs have shapes {shapes}, expected two of (1, 3, height, width)")
    return lambda reference, other: _run(model, reference, other, _RANGES[values])


def _run(
    model: OnnxModel, reference_srgb: np.ndarray, other_srgb: np.ndarray, values: tuple[float, float]
) -> np.ndarray:
    """Bring both pictures to the network's size, run it, bring the flow back."""
    import cv2

    height, width = reference_srgb.shape[:2]
    fixed = model.input_shapes[0][2:]
    low, right = -height % _MULTIPLE, -width % _MULTIPLE
    size = (fixed[0] or height + low, fixed[1] or width + right)
    scaled = None not in fixed and size != (height, width)

    def prepare(picture: np.ndarray) -> np.ndarray:
        if scaled:
            fitted = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
        else:
            bottom, side = size[0] - height, size[1] - width
            if bottom < 0 or side < 0:
                raise FormatError(f"{model.path}: takes {fixed}, smaller than the picture {height, width} in one axis "
                                  "and free in the other; expected both fixed or both free")
            fitted = cv2.copyMakeBorder(picture, 0, bottom, 0, side, cv2.BORDER_REPLICATE)
        scale, offset = values
        tensor = fitted.astype(np.float32).transpose(2, 0, 1)[None] * np.float32(scale) + np.float32(offset)
        return np.ascontiguousarray(tensor)

    outputs = model.run(prepare(reference_srgb), prepare(other_srgb))
    flows = [value for value in outputs if value.shape == (1, 2, *size)]
    if not flows:
        shapes = ", ".join(str(value.shape) for value in outputs)
        raise FormatError(f"{model.path}: outputs have shapes {shapes}, expected one of {(1, 2, *size)}")
    flow = np.ascontiguousarray(flows[-1][0].transpose(1, 2, 0), np.float32)
    if scaled:
        ratio = np.array([width / size[1], height / size[0]], np.float32)
        flow = np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR), np.float32) * ratio
    return np.ascontiguousarray(flow[:height, :width])
