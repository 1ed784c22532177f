"""Labels by a face-parsing network of the user's, an ONNX file in the manner of BiSeNet."""

from pathlib import Path

import numpy as np

from olatkit.errors import ConfigError, FormatError
from olatkit.vision.onnx_models import OnnxModel, open_model
from olatkit.vision.parsing import CLASSES, check_picture

# Colour statistics that networks with a backbone trained on ImageNet expect.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
# Side of the picture that a network of free size gets.
_SIDE = 512


class OnnxParser:
    """A parsing network: one float32 input (1, 3, h, w), first output (1, K, h', w') of class scores.

    The input is RGB with ImageNet's mean and deviation taken out; free h and w become 512. Scores are brought back to
    the picture's size before the best class is taken.

    Parameters
    ----------
    path : path
        ONNX file.
    classes : sequence of int, optional
        Our class for each of the network's K classes; None if they are the 19 in our order.

    Raises
    ------
    ConfigError
        No file was given, ``classes`` does not fit, or onnxruntime is not installed.
    FormatError
        The file is not ONNX, or its input or output has another form.
    """

    name = "onnx"

    def __init__(self, path: str | Path | None, classes: tuple[int, ...] | None = None) -> None:
        if path is None:
            raise ConfigError("parsing 'onnx' needs a network: set onnx to an ONNX file with 19 classes")
        self._model = open_model(path)
        self._size = _input_size(self._model)
        if classes is not None and not all(0 <= c < len(CLASSES) for c in classes):
            raise ConfigError(f"onnx_classes {list(classes)}: expected numbers 0 to {len(CLASSES) - 1}")
        self._classes = np.arange(len(CLASSES)) if classes is None else np.array(classes)

    def parse(
        self, fully_lit_srgb: np.ndarray, foreground: np.ndarray | None, tick: int | None = None
    ) -> np.ndarray:
        """Labels (H, W) uint8 of a picture (H, W, 3) uint8; outside the foreground, if given, they are 0."""
        import cv2

        check_picture(fully_lit_srgb, foreground)
        height, width = fully_lit_srgb.shape[:2]
        kind = cv2.INTER_AREA if height > self._size[0] else cv2.INTER_LINEAR
        small = cv2.resize(fully_lit_srgb, self._size[::-1], interpolation=kind)
        values = (small.astype(np.float32) / 255 - _MEAN) / _DEVIATION
        scores = self._model.run(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))[0]
        if scores.ndim != 4 or scores.shape[:2] != (1, len(self._classes)):
            raise FormatError(
                f"{self._model.path}: the first output has shape {scores.shape}, expected (1, {len(self._classes)}, h, "
                "w) class scores; for a network of other classes set onnx_classes to our class of each"
            )
        planes = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in scores[0]]
        labels = self._classes[np.argmax(planes, axis=0)].astype(np.uint8)
        if foreground is not None:
            labels[foreground < 0.5] = 0
        return labels


def _input_size(model: OnnxModel) -> tuple[int, int]:
    """Height and width that the network takes; the default side where they are free."""
    shapes = model.input_shapes
    fixed = shapes[0] if len(shapes) == 1 else ()
    if len(fixed) != 4 or fixed[1] not in (3, None) or fixed[0] not in (1, None):
        raise FormatError(f"{model.path}: inputs have shapes {shapes}, expected one of (1, 3, height, width)")
    return fixed[2] or _SIDE, fixed[3] or _SIDE
