"""Labels of a fully lit picture: the settings, and the labeller that a backend's name stands for."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from olatkit.errors import ConfigError
from olatkit.vision.parsing import check_picture, foreground_labels

log = logging.getLogger(__name__)


class LabelConfig(BaseModel):
    """How parsing labels and flow are made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    parsing: Literal["auto", "onnx", "landmarks", "truth", "foreground"] = Field(
        "auto",
        description="onnx: a parsing network of yours; landmarks: the small public models of `olatkit models fetch`; "
        "truth: labels of a simulated take; foreground: class 1 for the whole subject; auto: onnx if a file is given, "
        "else truth if given, else landmarks if its models are there, else foreground",
    )
    onnx: str | None = Field(None, description="ONNX file of the parsing network")
    onnx_classes: tuple[int, ...] | None = Field(
        None, description="class of ours for each class of the network; null: the network has our 19 classes"
    )
    models: str | None = Field(None, description="folder of the small models; null: the user's cache")
    vote: bool = Field(True, description="majority vote of each label with those moved from both neighbours")
    flow: Literal["dis", "onnx", "nvidia"] = Field(
        "dis", description="dis: OpenCV's dense inverse search; onnx: a network of yours; nvidia: hardware flow"
    )
    flow_preset: Literal["smooth", "fine", "balanced", "medium", "fast"] = Field(
        "smooth", description="effort of dis: smooth and fine work at full resolution"
    )
    flow_onnx: str | None = Field(None, description="ONNX file of the flow network")
    flow_onnx_range: Literal["0..255", "0..1", "-1..1"] = Field("0..255", description="values the flow network takes")
    occlusion_relative: float = Field(0.01, ge=0, le=1, description="allowed round-trip error, share of squared flow")
    occlusion_slack_px2: float = Field(0.5, gt=0, description="allowed round-trip error, squared pixels")


class Labeller(Protocol):
    """What makes label maps; ``name`` says which backend made them."""

    @property
    def name(self) -> str:
        """The backend: 'onnx', 'landmarks', 'truth' or 'foreground'."""

    def parse(
        self, fully_lit_srgb: np.ndarray, foreground: np.ndarray | None, tick: int | None = None
    ) -> np.ndarray:
        """Labels (H, W) uint8 of a picture (H, W, 3) uint8 with coverage (H, W) 0 to 1, at a reference tick."""


def make_labeller(config: LabelConfig, truth: Mapping[int, np.ndarray] | None = None) -> Labeller:
    """The labeller of a configuration; cheap, since opened models are kept and shared.

    Parameters
    ----------
    config : LabelConfig
        Which backend, and its files.
    truth : mapping of int to ndarray (H, W) uint8, optional
        True labels by reference tick, for the backend ``truth``: `olatkit.io.truth_labels.read_truth_labels`.

    Returns
    -------
    Labeller
        ``.parse(fully_lit_srgb, foreground, tick)`` and ``.name``. Safe to use from several threads.

    Raises
    ------
    ConfigError
        The backend lacks its file or its package.
    FormatError
        A model is missing, damaged, or of another form than expected.
    """
    backend = config.parsing if config.parsing != "auto" else _choose(config, truth)
    if backend == "onnx":
        from olatkit.vision.parsing_onnx import OnnxParser

        return OnnxParser(config.onnx, config.onnx_classes)
    if backend == "landmarks":
        from olatkit.vision.parsing_landmarks import LandmarkParser

        return LandmarkParser(config.models)
    if backend == "truth":
        if truth is None:
            raise ConfigError("parsing 'truth' needs the labels of a simulated take: give its truth.h5 with --truth")
        return TruthLabels(truth)
    return ForegroundLabels()


def _choose(config: LabelConfig, truth: Mapping[int, np.ndarray] | None) -> str:
    """The best backend whose files are there."""
    if config.onnx is not None:
        return "onnx"
    if truth is not None:
        return "truth"
    from olatkit.vision.parsing_landmarks import missing_for_landmarks

    missing = missing_for_landmarks(config.models)
    if missing is None:
        return "landmarks"
    log.warning("labels know the foreground only: %s", missing)
    return "foreground"


@dataclass(frozen=True)
class ForegroundLabels:
    """Class 1 for the whole subject."""

    name: str = "foreground"

    def parse(
        self, fully_lit_srgb: np.ndarray, foreground: np.ndarray | None, tick: int | None = None
    ) -> np.ndarray:
        """Labels 0 and 1 from the coverage; the picture itself is not looked at."""
        check_picture(fully_lit_srgb, foreground)
        if foreground is None:
            raise ValueError("the backend 'foreground' needs the coverage of the subject")
        return foreground_labels(foreground)


@dataclass(frozen=True, eq=False)
class TruthLabels:
    """True labels of a simulated take, by reference tick."""

    labels: Mapping[int, np.ndarray]
    name: str = "truth"

    def parse(
        self, fully_lit_srgb: np.ndarray, foreground: np.ndarray | None, tick: int | None = None
    ) -> np.ndarray:
        """The true labels at ``tick``: their middle in the picture's proportions, nearest pixels in its size."""
        import cv2

        check_picture(fully_lit_srgb, foreground)
        if tick is None or tick not in self.labels:
            raise ConfigError(f"the truth has no labels at tick {tick}, it has {_some(self.labels)}; simulate with "
                              "--truth all, and use the truth of this very take")
        height, width = fully_lit_srgb.shape[:2]
        true = self.labels[tick]
        # Takes and shards are cut about the middle too.
        scale = min(true.shape[0] / height, true.shape[1] / width)
        rows, columns = round(height * scale), round(width * scale)
        top, left = (true.shape[0] - rows) // 2, (true.shape[1] - columns) // 2
        middle = true[top : top + rows, left : left + columns]
        return cv2.resize(middle, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def _some(ticks: Mapping[int, np.ndarray]) -> str:
    """The first few ticks, for a message."""
    first = sorted(ticks)[:4]
    return ", ".join(map(str, first)) + (" …" if len(ticks) > len(first) else "")
