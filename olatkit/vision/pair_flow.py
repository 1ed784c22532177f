"""Flow both ways between two neighbouring fully lit pictures, with what is hidden in either."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from olatkit.vision.flow import dis_flow
from olatkit.vision.occlusion import hidden_points
from olatkit.vision.parsing import check_picture

if TYPE_CHECKING:
    from olatkit.vision.labels import LabelConfig

# Side [px] up to which one smoothness serves.
_SMOOTH_SIDE = 256

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class FlowPair:
    """Motion between picture t and picture t+1.

    Attributes
    ----------
    forward : ndarray, shape (H, W, 2), float32
        (dx, dy) [px] on the grid of t: its pixel x is found at x + flow in t+1.
    backward : ndarray, shape (H, W, 2), float32
        The same on the grid of t+1, into t.
    occluded_forward, occluded_backward : ndarray of bool, shape (H, W)
        Points of t that t+1 does not show, and points of t+1 that t does not show.
    """

    forward: np.ndarray
    backward: np.ndarray
    occluded_forward: np.ndarray
    occluded_backward: np.ndarray


def flow_pair(first_srgb: np.ndarray, second_srgb: np.ndarray, config: "LabelConfig") -> FlowPair:
    """Flow from each of two pictures to the other, and the points that the other hides.

    Parameters
    ----------
    first_srgb, second_srgb : ndarray, shape (H, W, 3), uint8
        Fully lit pictures t and t+1 of equal exposure.
    config : LabelConfig
        Which flow, and how strict the check of occlusion is.

    Returns
    -------
    FlowPair
        On a black background, which has no texture, flow and occlusion mean nothing: look at the subject's only.

    Raises
    ------
    ValueError
        The pictures differ in size.
    ConfigError
        The flow that was asked for is not available.
    """
    check_picture(first_srgb, None)
    check_picture(second_srgb, None)
    if first_srgb.shape != second_srgb.shape:
        raise ValueError(f"pictures are {first_srgb.shape[:2]} and {second_srgb.shape[:2]}, expected the same size")
    flow = _make_flow(config)
    forward, backward = flow(first_srgb, second_srgb), flow(second_srgb, first_srgb)
    hidden = partial(hidden_points, relative=config.occlusion_relative, slack=config.occlusion_slack_px2)
    return FlowPair(forward, backward, hidden(forward, backward), hidden(backward, forward))


def _make_flow(config: "LabelConfig") -> Flow:
    """The function (picture, other picture) -> flow of a configuration."""
    if config.flow == "onnx":
        from olatkit.vision.flow_onnx import open_flow_model

        return open_flow_model(config.flow_onnx, config.flow_onnx_range)
    if config.flow == "nvidia":
        from olatkit.vision.flow_nvidia import nvidia_flow

        return nvidia_flow
    return partial(_dis, quality=config.flow_preset)


def _dis(reference_srgb: np.ndarray, other_srgb: np.ndarray, *, quality: str) -> np.ndarray:
    """Dense inverse search on the encoded pictures, which evens out shadows as a logarithm would."""
    first, second = grey_of_srgb(reference_srgb), grey_of_srgb(other_srgb)
    return _smooth_dis(first, second) if quality == "smooth" else dis_flow(first, second, quality=quality)


def _smooth_dis(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Inverse search at full resolution whose refinement is five times smoother and longer than OpenCV's preset.

    Neighbouring imagesets lie 40 ms apart; on skin, which has little texture, the smoothness carries the flow. In larger
    pictures it has to reach over more pixels.
    """
    import cv2

    reach = max(1.0, min(reference.shape) / _SMOOTH_SIDE)
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    engine.setFinestScale(0)
    engine.setPatchStride(3)
    engine.setVariationalRefinementIterations(round(10 * reach))
    engine.setVariationalRefinementAlpha(100.0 * reach)
    return engine.calc(reference, other, None)  # type: ignore[call-overload]


def grey_of_srgb(image_srgb: np.ndarray) -> np.ndarray:
    """Green-weighted mean of an encoded picture (H, W, 3) uint8, (H, W) uint8."""
    wide = image_srgb.astype(np.uint16)
    return ((wide[..., 0] + 2 * wide[..., 1] + wide[..., 2] + 2) // 4).astype(np.uint8)
