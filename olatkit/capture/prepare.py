"""Raw sensor frames to linear RGB: the radiometric chain, run once per frame and kept for a moving window.

Order: bad pixels, saturated raw values, black (or a mean dark frame, which also holds ambient light) and row offsets,
pixels that stand out of one frame, response curve, lens shading, crosstalk, demosaic with the colour matrix folded in.
All steps from lens shading on are linear in light, so crosstalk is inverted on the mosaic, a third of the data.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from olatkit.capture.calibrate import find_transients, replace_bad_pixels, row_offsets
from olatkit.capture.camera import Calibration
from olatkit.capture.crosstalk import invert_crosstalk
from olatkit.capture.response import linearise
from olatkit.io.streams import FrameStream
from olatkit.once import Once
from olatkit.vision.demosaic import demosaic_filters, demosaic_into
from olatkit.vision.looks import BORDER, inside, padded, repeat_border

WARM_UP = 24  # frames after which the crosstalk recursion has forgotten where it started
BLOCK = 20  # frames prepared at once; block borders are absolute ticks, so results never depend on who prepares
MARGIN = BORDER  # mosaic pixels read around the box so that its border is interpolated, not mirrored; even


class FrameWindow:
    """Prepared frames by tick, read and prepared on demand in blocks, each once even if several threads ask.

    All blocks are kept, unless someone holds a span: then those outside every held span are dropped, and single
    frames asked for outside are prepared again every time.

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
        self._blocks: Once[int, dict[int, np.ndarray]] = Once()
        self._held: list[tuple[int, int]] = []
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
        return inside(self.padded(tick))

    def padded(self, tick: int) -> np.ndarray:
        """The same with its border repeated, shape (h + 8, w + 8, 3), as :mod:`olatkit.vision.looks` wants it."""
        block = tick // BLOCK
        held = list(self._held)
        if held and not any(lo <= block <= hi for lo, hi in held):
            return self._prepare_block(block, only=tick)[tick]
        return self._blocks.get(block, lambda: self._prepare_block(block))[tick]

    def glimpse(self, tick: int) -> np.ndarray:
        """One frame as :meth:`frame` gives it, but crosstalk stays in it; for looking at a few frames of a take."""
        i = self._index[tick]
        return inside(self._prepare_one(_linearise(self._stream.read(i, i + 1)[0], self._calibration)[0]))

    def count_saturated(self, tick: int) -> int:
        """Saturated raw values of the box in one frame, which is not prepared any further."""
        i = self._index[tick]
        return int(np.count_nonzero(_linearise(self._stream.read(i, i + 1)[0], self._calibration)[1]))

    @contextmanager
    def hold(self, first: int, last: int) -> Iterator[None]:
        """Keep the frames from tick ``first`` to ``last`` while the context lasts, and drop what nobody holds."""
        span = (first // BLOCK, last // BLOCK)
        self._held.append(span)
        spans = list(self._held)
        self._blocks.drop(lambda block: not any(lo <= block <= hi for lo, hi in spans))
        try:
            yield
        finally:
            self._held.remove(span)

    def _prepare_block(self, block: int, only: int | None = None) -> dict[int, np.ndarray]:
        """The frames of a block by tick, or one of them, which are the same bits."""
        first = block * BLOCK
        start = first - WARM_UP if self._calibration.crosstalk else first
        lo, hi = np.searchsorted(self._ticks, (start, first + BLOCK))
        raw = self._stream.read(int(lo), int(hi))
        ticks = self._ticks[lo:hi]
        linear, cuts = [], []
        for tick, frame in zip(ticks, raw, strict=True):
            values, cut = _linearise(frame, self._calibration)
            self.saturated[int(tick)] = int(np.count_nonzero(cut))
            linear.append(values)
            cuts.append(cut)
        if self._calibration.crosstalk and linear:
            linear = self._without_crosstalk(linear, cuts, ticks)
            self.uncorrected.update(int(t) for t in self._after_gaps(ticks) if t >= first)
        wanted = [(int(t), v) for t, v in zip(ticks, linear, strict=True) if t >= first and only in (None, t)]
        return {tick: self._prepare_one(values) for tick, values in wanted}

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
    c, camera = calibration, calibration.camera
    if camera.bad is not None:
        frame = replace_bad_pixels(frame, camera.bad, c.bayer)
    rows, columns, _, _ = _sensor_region(c)
    raw = frame[rows, columns]
    span = np.float32(c.white - c.black)
    saturated = raw >= c.black + c.saturation * float(span)
    black = np.asarray(c.black, np.float32) if camera.dark is None else camera.dark.astype(np.float32, copy=False)
    values = raw.astype(np.float32) - (black if black.ndim == 0 else black[rows, columns])
    if c.shielded is not None:
        strip = slice(None), slice(*c.shielded)
        offsets = row_offsets(frame[strip] - (black if black.ndim == 0 else black[strip]))[rows]
        values -= offsets.reshape(-1, *[1] * (values.ndim - 1))
    if c.transients:
        values = _without_transients(values, c)
    linear = values / span if camera.linearity is None else linearise(values, camera.linearity)
    if camera.flat is not None:
        linear /= camera.flat[rows, columns]
    return linear, saturated


def _without_transients(values: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Values above black with single pixels that stand out of this frame replaced, as static bad pixels are."""
    gain, read_noise = calibration.noise
    hit = find_transients(
        values, bayer=calibration.bayer, gain=gain, read_noise=read_noise, sigma=calibration.transients
    )
    return replace_bad_pixels(values, hit.reshape(*hit.shape[:2], -1).max(axis=2), calibration.bayer)


def _preparer(calibration: Calibration) -> Callable[[np.ndarray], np.ndarray]:
    """The function that turns linear values of the wanted region into RGB of the box, its border repeated."""
    import cv2

    _, _, dy, dx = _sensor_region(calibration)
    matrix = calibration.camera.color_matrix
    matrix = None if matrix is None else np.asarray(matrix, np.float32)
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
            if (dy, dx) != (BORDER, BORDER) or out.shape[:2] != (height + 2 * BORDER, width + 2 * BORDER):
                return padded(out[dy : dy + height, dx : dx + width])
            repeat_border(out)  # what the margin was read for is done
            return out
        assert calibration.crop is not None
        whole = out[dy : dy + calibration.crop[2], dx : dx + calibration.crop[3]]
        resized = cv2.resize(whole, calibration.size[::-1], interpolation=cv2.INTER_AREA)
        return padded(resized[top : top + height, left : left + width])

    return prepare
