"""The small public networks: where the face is, its 468 points, and which pixels belong to a person."""

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import ConfigError
from olatkit.model_files import find_model

_DETECTION, _POINTS, _PERSON = 128, 192, 256
# Below these the networks themselves say that there is no face.
_MIN_DETECTION, _MIN_POINTS = 0.5, 0.5
# The mesh network was trained on crops this much larger than the face.
_CROP = 1.5
_EYES = (33, 263)


class FaceModels:
    """Three small networks on the CPU; safe to use from several threads.

    Parameters
    ----------
    folder : path, optional
        Where the files are; the user's cache by default.

    Raises
    ------
    ConfigError
        The package that runs them is not installed.
    FormatError
        A file is missing or damaged.

    References
    ----------
    Bazarevsky et al., "BlazeFace", 2019, arXiv:1907.05047; Kartynnik et al., "Real-time facial surface geometry from
    monocular video on mobile GPUs", 2019, arXiv:1907.06724.
    """

    def __init__(self, folder: str | None = None) -> None:
        require_runtime()
        self._detector = _Network(find_model("face_detection_short_range.tflite", folder))
        self._mesh = _Network(find_model("face_landmark.tflite", folder))
        self._segmenter = _Network(find_model("selfie_segmentation.tflite", folder), delegate=True)

    def face_points(self, image_srgb: np.ndarray) -> np.ndarray | None:
        """The 468 points (x, y) [px] of the most certain face in (H, W, 3) uint8, or None if there is none."""
        placing = self._detect(image_srgb)
        points = None
        # The second crop is laid by the points of the first, so that the detector's jitter plays no part.
        for _ in range(2):
            if placing is None:
                return None
            points = self._points(image_srgb, placing)
            placing = None if points is None else _place_by_points(points)
        return points

    def person_mask(self, image_srgb: np.ndarray) -> np.ndarray:
        """Certainty, 0 to 1, that a pixel shows a person, (H, W) float32."""
        import cv2

        small = cv2.resize(image_srgb, (_PERSON, _PERSON), interpolation=cv2.INTER_AREA)
        mask = self._segmenter.run(small.astype(np.float32) / 255)[0][0, ..., 0]
        return np.clip(cv2.resize(mask, image_srgb.shape[1::-1], interpolation=cv2.INTER_LINEAR), 0, 1)

    def _detect(self, image_srgb: np.ndarray) -> np.ndarray | None:
        """Affine map (2, 3) from the mesh network's crop to the picture, around the most certain face."""
        import cv2

        height, width = image_srgb.shape[:2]
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        square = cv2.copyMakeBorder(
            image_srgb, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT
        )
        small = cv2.resize(square, (_DETECTION, _DETECTION), interpolation=cv2.INTER_AREA)
        first, second = self._detector.run(small.astype(np.float32) / 127.5 - 1)
        boxes, scores = (first[0], second[0, :, 0]) if first.shape[-1] == 16 else (second[0], first[0, :, 0])
        best = int(scores.argmax())
        if 1 / (1 + np.exp(-np.clip(scores[best], -50, 50))) < _MIN_DETECTION:
            return None
        # Box centre, box size, then eyes, nose, mouth and ears, all in pixels of the small picture.
        numbers = boxes[best].reshape(8, 2).astype(np.float64)
        scale = side / _DETECTION
        offset = _anchors()[best] * side - (left, top)
        centre, eyes = numbers[0] * scale + offset, numbers[2:4] * scale + offset
        return _place(centre, float(numbers[1].max()) * scale, eyes[1] - eyes[0])

    def _points(self, image_srgb: np.ndarray, placing: np.ndarray) -> np.ndarray | None:
        """Points in the picture from the crop that an affine map takes out; None if it shows no face."""
        import cv2

        # The map is between positions where a pixel is 1 wide and starts at its index; OpenCV counts centres.
        centres = placing.copy()
        centres[:, 2] += placing[:, :2].sum(axis=1) / 2 - 0.5
        crop = cv2.warpAffine(
            image_srgb, centres, (_POINTS, _POINTS), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        outputs = self._mesh.run(crop.astype(np.float32) / 255)
        mesh, score = sorted(outputs, key=np.size, reverse=True)
        if 1 / (1 + np.exp(-np.clip(float(score.ravel()[0]), -50, 50))) < _MIN_POINTS:
            return None
        return mesh.reshape(-1, 3)[:, :2].astype(np.float64) @ placing[:, :2].T + placing[:, 2] - 0.5


class _Network:
    """A tflite network with one input; each thread has an interpreter of its own, since they hold state."""

    def __init__(self, path: Path, *, delegate: bool = False) -> None:
        self._path, self._delegate = path, delegate
        self._local = threading.local()

    def run(self, picture: np.ndarray) -> list[np.ndarray]:
        """All outputs for one picture (h, w, 3) float32."""
        if not hasattr(self._local, "interpreter"):
            self._local.interpreter = _interpreter(self._path, delegate=self._delegate)
        network = self._local.interpreter
        network.set_tensor(network.get_input_details()[0]["index"], picture[None])
        network.invoke()
        return [network.get_tensor(item["index"]).copy() for item in network.get_output_details()]


def require_runtime() -> None:
    """Raise ConfigError unless tflite networks can be run."""
    try:
        import ai_edge_litert  # noqa: F401
    except ImportError as error:
        raise ConfigError("the small face models need ai-edge-litert: pip install 'olatkit[labels]'") from error


def _interpreter(path: Path, *, delegate: bool) -> Any:
    """A network ready to run, on one thread."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # The delegate announces itself on stderr and gains nothing on networks this small, but one needs its operations.
    kind = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    network = Interpreter(model_path=str(path), num_threads=1, experimental_op_resolver_type=kind)
    network.allocate_tensors()
    return network


@functools.cache
def _anchors() -> np.ndarray:
    """Centres that the detector's 896 boxes are relative to, (896, 2), shares of the side."""
    grids = []
    for cells, boxes in ((16, 2), (8, 6)):
        y, x = (np.mgrid[:cells, :cells] + 0.5) / cells
        grids.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), boxes, axis=0))
    return np.concatenate(grids)


def _place(centre: np.ndarray, size: float, across: np.ndarray) -> np.ndarray:
    """Affine map (2, 3) from the mesh network's crop to the picture: ``across`` becomes the crop's x axis."""
    x = across / max(float(np.hypot(*across)), 1e-6)
    turn = np.array([[x[0], -x[1]], [x[1], x[0]]]) * (size * _CROP / _POINTS)
    return np.column_stack([turn, centre - turn @ np.full(2, _POINTS / 2)])


def _place_by_points(points: np.ndarray) -> np.ndarray:
    """The same from points of an earlier crop."""
    across = points[_EYES[1]] - points[_EYES[0]]
    x = across / max(float(np.hypot(*across)), 1e-6)
    turned = points @ np.array([[x[0], -x[1]], [x[1], x[0]]])
    low, high = turned.min(axis=0), turned.max(axis=0)
    centre = np.array([[x[0], -x[1]], [x[1], x[0]]]) @ ((low + high) / 2)
    return _place(centre + 0.5, float((high - low).max()), across)
