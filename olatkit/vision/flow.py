"""Dense optical flow between two grey pictures, and the motion field of a picture over time.

``flow[y, x] = (dx, dy)`` lies on the grid of the reference picture: its pixel x is found at x + flow in the other.
"""

from collections.abc import Callable, Mapping

import numpy as np

from olatkit.vision.warp import warp

FlowFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]


def dis_flow(reference: np.ndarray, other: np.ndarray, *, quality: str = "fine") -> np.ndarray:
    """Dense inverse search flow from ``reference`` to ``other``.

    Parameters
    ----------
    reference, other : ndarray, shape (H, W), uint8
        Pictures of equal exposure.
    quality : {'fine', 'medium', 'fast'}
        'fine' works down to full resolution with a patch stride of 3: about 3 times slower than 'medium', half
        its end-point error.

    Returns
    -------
    ndarray, shape (H, W, 2), float32
        (dx, dy) in pixels on the grid of ``reference``.

    References
    ----------
    Kroeger, Timofte, Dai and Van Gool, "Fast optical flow using dense inverse search", ECCV 2016,
    doi:10.1007/978-3-319-46493-0_29.
    """
    import cv2

    # An engine is not safe to share between threads and is cheap to make.
    presets = {
        "fine": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    }
    if quality not in presets:
        raise ValueError(f"flow quality {quality!r} is unknown, expected one of {', '.join(presets)}")
    engine = cv2.DISOpticalFlow_create(presets[quality])
    if quality == "fine":
        engine.setFinestScale(0)
        engine.setPatchStride(3)
    return engine.calc(reference, other, None)  # type: ignore[call-overload]


def grey8(linear: np.ndarray, peak: float) -> np.ndarray:
    """Linear RGB (H, W, >= 3) to a grey picture for flow: green-weighted mean, gamma 1/2.2, ``peak`` becomes 255."""
    grey = 0.25 * linear[..., 0] + 0.5 * linear[..., 1] + 0.25 * linear[..., 2]
    return (np.clip(grey / np.float32(peak), 0, 1) ** np.float32(1 / 2.2) * 255 + 0.5).astype(np.uint8)


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Displacement that follows ``first`` (grid a to b) and then ``second`` (grid b to c): on grid a, to c."""
    return first + warp(second, first, linear=True)


def invert(displacement: np.ndarray, *, iterations: int = 3) -> np.ndarray:
    """The displacement from the other grid back, by fixed-point iteration; good where the field is smooth."""
    back = -displacement
    for _ in range(iterations):
        back = -warp(displacement, back, linear=True)
    return back


def chained_flows(pictures: Mapping[int, np.ndarray], flow: FlowFunction) -> dict[int, np.ndarray]:
    """Flow from picture 0 to every key, adding steps between neighbours; fast motion stays small in every step."""
    fields = {0: np.zeros((*pictures[0].shape, 2), np.float32)}
    for sign in (1, -1):
        keys = sorted((k for k in pictures if k * sign > 0), key=abs)
        before = 0
        for key in keys:
            fields[key] = compose(fields[before], flow(pictures[before], pictures[key]))
            before = key
    return fields


def refined_flows(pictures: Mapping[int, np.ndarray], flow: FlowFunction) -> dict[int, np.ndarray]:
    """Chained flows with the drift removed: the residual flow to each pre-warped picture is composed with the chain."""
    fields = chained_flows(pictures, flow)
    for key, chain in fields.items():
        if key:
            residual = flow(pictures[0], np.round(warp(pictures[key], chain, linear=True)).astype(np.uint8))
            # The residual moves within the pre-warped picture; the chain is read where it lands.
            fields[key] = residual + warp(chain, residual, linear=True)
    return fields


def direct_flows(pictures: Mapping[int, np.ndarray], flow: FlowFunction) -> dict[int, np.ndarray]:
    """Flow from picture 0 to every key, each found on its own: no drift."""
    return {
        key: flow(pictures[0], picture) if key else np.zeros((*picture.shape, 2), np.float32)
        for key, picture in pictures.items()
    }


