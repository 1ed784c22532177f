"""Dense optical flow between two grey pictures, and the motion field of a picture over time.

``flow[y, x] = (dx, dy)`` lies on the grid of the reference picture: its pixel x is found at x + flow in the other.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from olatkit.once import Once
from olatkit.vision.warp import warp


def dis_flow(reference: np.ndarray, other: np.ndarray, *, quality: str = "fine") -> np.ndarray:
    """Dense inverse search flow from ``reference`` to ``other``.

    Parameters
    ----------
    reference, other : ndarray, shape (H, W), uint8
        Pictures of equal exposure.
    quality : {'fine', 'balanced', 'medium', 'fast'}
        'fine' works down to full resolution with a patch stride of 3, 'balanced' stops at half resolution (a third
        of the time), 'medium' and 'fast' are OpenCV's presets.

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

    finest = {"fine": 0, "balanced": 1, "medium": None, "fast": None}
    if quality not in finest:
        raise ValueError(f"flow quality {quality!r} is unknown, expected one of {', '.join(finest)}")
    preset = cv2.DISOPTICAL_FLOW_PRESET_FAST if quality == "fast" else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    # An engine is not safe to share between threads and is cheap to make.
    engine = cv2.DISOpticalFlow.create(preset)
    if finest[quality] is not None:
        engine.setFinestScale(finest[quality])  # type: ignore[arg-type]
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


class FlowTable:
    """Flows between pictures of one sequence, each found once and kept; threads may share a table.

    Only flows forward in time are computed; backward ones are their inverses. That halves the work, a forward flow
    serves both of its pictures, and the result does not depend on who asked first.

    Parameters
    ----------
    picture : callable (key) -> ndarray (H, W) uint8
        The picture at an integer key, ascending in time.
    quality : str
        As for :func:`dis_flow`.
    """

    def __init__(self, picture: Callable[[int], np.ndarray], *, quality: str = "fine") -> None:
        self.picture = picture
        self.quality = quality
        self._forward: Once[tuple[int, int], np.ndarray] = Once()

    def between(self, a: int, b: int) -> np.ndarray:
        """Flow on the grid of picture ``a`` to picture ``b``, shape (H, W, 2); not to be written to."""
        if a == b:
            return np.zeros((*self.picture(a).shape, 2), np.float32)
        first, last = min(a, b), max(a, b)
        field = self._forward.get(
            (first, last), lambda: dis_flow(self.picture(first), self.picture(last), quality=self.quality)
        )
        return field if a < b else invert(field)

    def keep(self, first: int, last: int) -> None:
        """Drop flows that start before ``first`` or end after ``last``."""
        self._forward.drop(lambda pair: pair[0] < first or pair[1] > last)


def chained_flow(table: FlowTable, keys: list[int], start: int) -> dict[int, np.ndarray]:
    """Flow from picture ``start`` to all keys, adding steps between neighbours; fast motion stays small in a step."""
    keys = sorted({*keys, start})
    fields = {start: table.between(start, start)}
    zero = keys.index(start)
    for row in (keys[zero:], keys[zero::-1]):
        for before, key in pairwise(row):
            fields[key] = compose(fields[before], table.between(before, key))
    return fields


def refined_flow(table: FlowTable, keys: list[int], start: int) -> dict[int, np.ndarray]:
    """Chained flow without its drift: the residual flow to each pre-warped picture is composed with the chain."""
    fields = chained_flow(table, keys, start)
    reference = table.picture(start)
    for key, chain in fields.items():
        if key != start:
            moved = np.round(warp(table.picture(key), chain, linear=True)).astype(np.uint8)
            residual = dis_flow(reference, moved, quality=table.quality)
            # The residual moves within the pre-warped picture; the chain is read where it lands.
            fields[key] = residual + warp(chain, residual, linear=True)
    return fields


def direct_flow(table: FlowTable, keys: list[int], start: int) -> dict[int, np.ndarray]:
    """Flow from picture ``start`` to every key, each found on its own: no drift."""
    return {key: table.between(start, key) for key in keys}
