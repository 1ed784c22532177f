"""ONNX networks on the CPU: opened once per process, with one thread each so that results never depend on workers."""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import ConfigError, FormatError


class OnnxModel:
    """An opened network; :meth:`run` may be called from several threads."""

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError(
                f"{path}: running ONNX networks needs onnxruntime: pip install 'olatkit[labels]'"
            ) from error
        options = onnxruntime.SessionOptions()
        # Workers share the cores; and the order of sums, hence the bytes, must not depend on their number.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.path = path
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own, all straight from Exception
            raise FormatError(f"{path}: not an ONNX network that onnxruntime can run: {_first_line(error)}") from error
        self.input_shapes = [tuple(_size(s) for s in item.shape) for item in self._session.get_inputs()]
        self._names = [item.name for item in self._session.get_inputs()]
        kinds = [item.type for item in self._session.get_inputs()]
        if any(kind != "tensor(float)" for kind in kinds):
            raise FormatError(f"{path}: inputs are {', '.join(kinds)}, expected 32-bit floats")

    def run(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """All outputs for the inputs, in the file's order."""
        try:
            return self._session.run(None, dict(zip(self._names, inputs, strict=True)))
        except Exception as error:  # as above
            shapes = ", ".join(str(value.shape) for value in inputs)
            raise FormatError(f"{self.path}: the network refuses inputs {shapes}: {_first_line(error)}") from error


def open_model(path: str | Path) -> OnnxModel:
    """The network in a file; opened again only when the file has changed.

    Raises
    ------
    ConfigError
        The file is missing, or onnxruntime is not installed.
    FormatError
        It is no network that can be run, or takes other values than 32-bit floats.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such ONNX file")
    return _opened(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _opened(path: Path, _changed: int) -> OnnxModel:
    return OnnxModel(path)


def _size(value: Any) -> int | None:
    """A fixed size, or None where the file leaves it free."""
    return value if isinstance(value, int) and value > 0 else None


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
