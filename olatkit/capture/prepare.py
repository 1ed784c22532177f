"""Raw sensor frames to linear RGB: the radiometric chain, run once per frame and kept for a moving window.

Order: bad pixels, count of saturated raw values, black (or a mean dark frame, which also holds ambient light), lens
shading, crosstalk, demosaic with the colour matrix folded in. All steps are linear in light, so crosstalk is
inverted on the mosaic, a third of the data.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from olatkit.capture.crosstalk import invert_crosstalk
from olatkit.io.streams import FrameStream
from olatkit.vision.demosaic import DemosaicModel, demosaic_filters, demosaic_into

WARM_UP = 24  # frames after which the crosstalk recursion has forgotten where it started
BLOCK = 20  # frames prepared at once; block borders are absolute ticks, so results never depend on who prepares
MARGIN = 4  # mosaic pixels read around the box so that its border is interpolated, not mirrored


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
    dark : ndarray, shape (H, W[, 3]), optional
        Mean raw frame with the lights off, subtracted instead of ``black``.
    bad : ndarray of bool, shape (H, W), optional
        Bad pixels, replaced before anything else.
    flat : ndarray, shape (H, W[, 3]), optional
        Lens shading relative to its mean; divided out.
    color_matrix : ndarray, shape (3, 3), optional
        Camera RGB to linear Rec.709.
    crosstalk : float
        Share of a frame's light that leaks into the next one.
    saturation : float
        Share of full scale from which a raw value counts as saturated.
    model : DemosaicModel
        Assumptions of the demosaicing filters.
    """

    black: float
    white: float
    bayer: str | None
    box: tuple[int, int, int, int]
    crop: tuple[int, int, int, int] | None = None
    size: tuple[int, int] | None = None
    dark: np.ndarray | None = None
    bad: np.ndarray | None = None
    flat: np.ndarray | None = None
    color_matrix: np.ndarray | None = None
    crosstalk: float = 0.0
    saturation: float = 0.985
    model: DemosaicModel = field(default_factory=DemosaicModel)


class FrameWindow:
    """Prepared frames by tick, read and prepared on demand in blocks; old ones are dropped by :meth:`forget`.

    Parameters
    ----------
    stream : FrameStream
        The raw frames.
    calibration : Calibration
        How they become linear.
    ticks : ndarray, shape (N,), int64
        Tick of every stored frame, ascending.

    Attributes
    ----------
    uncorrected : set of int
        Ticks whose crosstalk could not be inverted, because the frame before is missing.
    saturated : dict of int to int
        Saturated raw values in the box, by tick.
    samples_per_pixel : float
        Raw values that make one pixel of the picture.
    """

    def __init__(self, stream: FrameStream, calibration: Calibration, ticks: np.ndarray) -> None:
        self._stream = stream
        self._calibration = calibration
        self._ticks = ticks
        self._index = {int(tick): i for i, tick in enumerate(ticks)}
        self._frames: dict[int, np.ndarray] = {}
        self.uncorrected: set[int] = set()
        self.saturated: dict[int, int] = {}
        self._prepare_one = _preparer(calibration)
        area = 1.0 if calibration.size is None else np.prod(calibration.crop[2:]) / np.prod(calibration.size)  # type: ignore[index]
        self.samples_per_pixel = float(area) * (3 if len(stream.shape) == 3 else 1)

    def frame(self, tick: int) -> np.ndarray:
        """Linear RGB of the region of interest at ``tick``, shape (h, w, 3), float32.

        Raises
        ------
        KeyError
            If no frame was stored at ``tick``.
        """
        if tick not in self._frames:
            self._frames.update(self._prepare_block(tick // BLOCK))
        return self._frames[tick]

    def glimpse(self, tick: int) -> np.ndarray:
        """One frame as :meth:`frame` gives it, but crosstalk stays in it; for looking at a few frames of a take."""
        i = self._index[tick]
        linear, cut = _linearise(self._stream.read(i, i + 1)[0], self._calibration)
        self.saturated[tick] = int(cut.sum())
        return self._prepare_one(linear)

    def forget(self, tick: int) -> None:
        """Drop all frames before ``tick``."""
        for old in [t for t in self._frames if t < tick]:
            del self._frames[old]

    def _prepare_block(self, block: int) -> dict[int, np.ndarray]:
        first = block * BLOCK
        start = first - WARM_UP if self._calibration.crosstalk else first
        lo, hi = np.searchsorted(self._ticks, (start, first + BLOCK))
        raw = self._stream.read(int(lo), int(hi))
        ticks = self._ticks[lo:hi]
        linear, cuts = [], []
        for tick, frame in zip(ticks, raw, strict=True):
            values, cut = _linearise(frame, self._calibration)
            self.saturated[int(tick)] = int(cut.sum())
            linear.append(values)
            cuts.append(cut)
        if self._calibration.crosstalk and linear:
            linear = self._without_crosstalk(linear, cuts, ticks)
            self.uncorrected.update(int(t) for t in self._after_gaps(ticks) if t >= first)
        return {int(t): self._prepare_one(v) for t, v in zip(ticks, linear, strict=True) if t >= first}

    def _without_crosstalk(
        self, linear: list[np.ndarray], cuts: list[np.ndarray], ticks: np.ndarray
    ) -> list[np.ndarray]:
        """Invert crosstalk along every run of frames without a gap."""
        starts = np.flatnonzero(np.diff(ticks) != 1) + 1
        eps, mosaic = self._calibration.crosstalk, self._calibration.bayer is not None
        clean: list[np.ndarray] = []
        for run, cut in zip(np.split(np.stack(linear), starts), np.split(np.stack(cuts), starts), strict=True):
            clean.extend(invert_crosstalk(run, eps, cut=cut, mosaic=mosaic, out=run))
        return clean

    def _after_gaps(self, ticks: np.ndarray) -> np.ndarray:
        """Ticks whose leak came from a frame that is missing: it stays in them."""
        at = np.searchsorted(self._ticks, ticks)
        return ticks[(at == 0) | (self._ticks[at - 1] != ticks - 1)]


def _sensor_region(calibration: Calibration) -> tuple[slice, slice, int, int]:
    """Rows and columns of the sensor to prepare, and where the wanted region starts inside them.

    Without resizing that is the box with a margin for the demosaicing filters, otherwise the whole crop.
    """
    top, left, height, width = calibration.crop or (0, 0, 0, 0)
    if calibration.size is None:
        y, x, height, width = calibration.box
        top, left = top + y, left + x
    y0, x0 = max(top - MARGIN, 0), max(left - MARGIN, 0)
    return slice(y0, top + height + MARGIN), slice(x0, left + width + MARGIN), top - y0, left - x0


def _linearise(frame: np.ndarray, calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Raw frame to linear values of the wanted region, 1.0 = full scale; and which of them are saturated."""
    if calibration.bad is not None:
        from olatkit.capture.calibrate import replace_bad_pixels

        frame = replace_bad_pixels(frame, calibration.bad, calibration.bayer)
    rows, columns, _, _ = _sensor_region(calibration)
    raw = frame[rows, columns]
    span = np.float32(calibration.white - calibration.black)
    saturated = raw >= calibration.black + calibration.saturation * float(span)
    black = calibration.black if calibration.dark is None else calibration.dark[rows, columns]
    linear = (raw.astype(np.float32) - np.asarray(black, np.float32)) / span
    if calibration.flat is not None:
        linear /= calibration.flat[rows, columns]
    return linear, saturated


def _preparer(calibration: Calibration) -> Callable[[np.ndarray], np.ndarray]:
    """The function that turns linear values of the wanted region into RGB of the box."""
    import cv2

    _, _, dy, dx = _sensor_region(calibration)
    matrix = None if calibration.color_matrix is None else np.asarray(calibration.color_matrix, np.float32)
    filters = None
    if calibration.bayer is not None:
        # Regions start on even pixels (the margin is even), so they have the full frame's pattern.
        filters = demosaic_filters(calibration.bayer, calibration.model)
        if matrix is not None:
            filters = np.ascontiguousarray(np.einsum("oc,pct->pot", matrix, filters), np.float32)

    def prepare(linear: np.ndarray) -> np.ndarray:
        out = np.empty((*linear.shape[:2], 3), np.float32)
        if filters is not None:
            demosaic_into(np.ascontiguousarray(linear), filters, out)
        else:
            out[:] = linear if linear.ndim == 3 else linear[..., None]
            if matrix is not None:
                out = out @ matrix.T
        top, left, height, width = calibration.box
        if calibration.size is None:
            return np.ascontiguousarray(out[dy : dy + height, dx : dx + width])
        assert calibration.crop is not None
        whole = out[dy : dy + calibration.crop[2], dx : dx + calibration.crop[3]]
        resized = cv2.resize(whole, calibration.size[::-1], interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(resized[top : top + height, left : left + width])

    return prepare
