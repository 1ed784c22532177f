"""What a first look at a take's frames tells: where the subject is, how bright, and what light is where it should not."""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from olatkit.capture.closure import ambient_from_closure
from olatkit.capture.crosstalk import estimate_crosstalk
from olatkit.capture.demultiplex import Demultiplexer, assemble_imageset
from olatkit.capture.prepare import FrameWindow
from olatkit.capture.windows import tracking_ticks
from olatkit.color import grey_mean
from olatkit.errors import CaptureError, ConfigError
from olatkit.vision.matting import foreground_mask

log = logging.getLogger(__name__)

SAMPLED_TRACKING = 48  # tracking frames that decide region and level
MIN_CROSSTALK = 0.005  # share from which an estimated crosstalk is inverted: a smaller one is below the noise


@dataclass(frozen=True, eq=False)
class SubjectView:
    """Where the subject was in some tracking frames of the take.

    ``brightest`` (H, W) is the largest grey value seen at each pixel, ``mask`` what stands out in it, ``peak`` its
    level that becomes white in flow pictures, ``level`` the median over frames of the 99.5th percentile.
    """

    brightest: np.ndarray
    mask: np.ndarray
    peak: float
    level: float


@dataclass(frozen=True)
class Crosstalk:
    """Crosstalk to invert and how it was found."""

    share: float
    findings: dict[str, Any] = field(default_factory=dict)


def find_subject(frames: FrameWindow, d: Demultiplexer, name: str) -> SubjectView:
    """Look at tracking frames spread over the take.

    Raises
    ------
    CaptureError
        No usable tracking frame, or nothing stands out in them.
    """
    every = [int(t) for t in tracking_ticks(*d.span, d.schedule, d.phase) if int(t) in d.usable]
    if not every:
        raise CaptureError(f"{name}: no usable tracking frame; the take cannot be aligned")
    chosen = np.unique(np.linspace(0, len(every) - 1, min(len(every), SAMPLED_TRACKING)).astype(int))
    brightest: np.ndarray | None = None
    levels = []
    for i in chosen:
        grey = grey_mean(frames.glimpse(every[i]))
        brightest = grey if brightest is None else np.maximum(brightest, grey)
        levels.append(float(np.percentile(grey, 99.5)))
    assert brightest is not None
    mask = foreground_mask(brightest)
    if not mask.any():
        raise CaptureError(
            f"{name}: the tracking frames show no subject (brightest value {brightest.max():.3g} of full scale)"
        )
    peak = float(np.percentile(brightest[mask], 99.5))
    return SubjectView(brightest, mask, peak, float(np.median(levels)))


def choose_region(
    view: SubjectView,
    box: tuple[int, int, int, int] | str,
    *,
    margin: float,
    even: bool,
) -> tuple[tuple[int, int, int, int], np.ndarray]:
    """Box (top, left, height, width) and the mask of pixels inside it that are made.

    Parameters
    ----------
    view : SubjectView
        From :func:`find_subject`.
    box : tuple of int or {'auto', 'full'}
        'auto' is the subject with a margin all around, the others are whole rectangles.
    margin : float
        Margin around the subject, share of its size.
    even : bool
        Whether the box must start on even pixels, to keep the Bayer pattern.

    Raises
    ------
    ConfigError
        A box that is not inside the picture, or smaller than 16 pixels.
    """
    import cv2

    height, width = view.mask.shape
    if box == "full":
        return (0, 0, height, width), np.ones((height, width), bool)
    if not isinstance(box, str):
        check_box(box, (height, width))
        top, left, h, w = box
        top, left = (top // 2 * 2, left // 2 * 2) if even else (top, left)
        return (top, left, h, w), np.ones((h, w), bool)
    # A threshold well below Otsu's keeps dark hair and clothes inside the region.
    subject = view.mask | foreground_mask(view.brightest, threshold=0.03 * view.peak)
    rows, columns = np.flatnonzero(subject.any(axis=1)), np.flatnonzero(subject.any(axis=0))
    extra = 4 + round(margin * max(rows[-1] - rows[0], columns[-1] - columns[0]))
    top, left = max(int(rows[0]) - extra, 0) // 2 * 2, max(int(columns[0]) - extra, 0) // 2 * 2
    bottom, right = min(int(rows[-1]) + extra + 1, height), min(int(columns[-1]) + extra + 1, width)
    grown = cv2.dilate(subject.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * extra + 1,) * 2))
    return (top, left, bottom - top, right - left), grown[top:bottom, left:right] > 0


def check_box(box: tuple[int, int, int, int] | str, shape: tuple[int, int]) -> None:
    """Raise ConfigError if a box that was given does not lie in pictures of ``shape`` (H, W), or is under 16 pixels."""
    if isinstance(box, str):
        return
    (top, left, h, w), (height, width) = box, shape
    if top < 0 or left < 0 or h < 16 or w < 16 or top + h > height or left + w > width:
        raise ConfigError(
            f"region {w}x{h} at ({left}, {top}) does not lie in the picture of {width}x{height}, or is under 16 pixels"
        )


def saturated_share(frames: FrameWindow, d: Demultiplexer, ticks: np.ndarray, subject_pixels: int) -> float:
    """Mean share of the subject's pixels that are saturated in the coded frames of the first and the middle cycle.

    ``ticks`` (N,) are the usable ticks, ascending.
    """
    cycle = d.schedule.cycle
    middle = len(ticks) // 2
    chosen = np.unique(np.concatenate([ticks[:cycle], ticks[middle : middle + cycle]]))
    chosen = chosen[np.isin((chosen - d.phase) % cycle, d.schedule.coded_slots)]
    if not chosen.size:
        return 0.0
    counts = [frames.count_saturated(tick) for tick in chosen.tolist()]
    return float(np.mean(counts) / frames.samples_per_pixel / max(int(subject_pixels), 1))


def find_crosstalk(frames: FrameWindow, d: Demultiplexer, ticks: np.ndarray) -> Crosstalk:
    """Crosstalk as configured, or estimated from one cycle in the middle of the take (N,) of ``ticks``."""
    if d.config.crosstalk != "auto":
        return Crosstalk(float(d.config.crosstalk), {"crosstalk": float(d.config.crosstalk)})
    cycle = d.schedule.cycle
    lo = max(0, len(ticks) // 2 - cycle // 2)
    chosen = ticks[lo : lo + cycle + 1]
    stack = np.array([_reduced(grey_mean(frames.glimpse(int(tick)))) for tick in chosen])
    estimate = estimate_crosstalk(
        stack,
        (chosen - d.phase) % cycle,
        d.rig,
        d.schedule,
        foreground_mask(stack.max(axis=0)),
        saturation=d.config.saturation,
    )
    findings = {"crosstalk_estimate": [estimate.eps, estimate.stderr], "crosstalk_reason": estimate.reason}
    # The negated comparison is also true where there is no number.
    if not estimate.eps > max(MIN_CROSSTALK, 3 * estimate.stderr):
        return Crosstalk(0.0, {**findings, "crosstalk": 0.0})
    log.info("crosstalk %.4f +- %.4f is inverted", estimate.eps, estimate.stderr)
    return Crosstalk(float(estimate.eps), {**findings, "crosstalk": float(estimate.eps)})


def _reduced(grey: np.ndarray, limit: int = 256) -> np.ndarray:
    """A picture reduced by a whole factor until no side is longer than ``limit``: estimates need no more."""
    import cv2

    factor = -(-max(grey.shape) // limit)
    return grey if factor == 1 else cv2.resize(grey, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)


def find_ambient(frames: FrameWindow, d: Demultiplexer, reference: int) -> float:
    """Constant light in every frame, as a share α of the fully lit picture S, from the closure of one imageset.

    Only pixels that no light drives near full scale are asked: a clipped highlight is missing from the sum as if
    there were negative ambient light. What still comes out negative is refused, and nothing is subtracted.

    Raises
    ------
    CaptureError
        If 1 / g_T is so near the number of lights that ambient light adds to both sides alike.
    """
    region = d.region
    total = np.zeros((*region.positions.shape[:2], 3), np.float32)
    brightest = np.zeros_like(total)

    def add(light: int, packed: np.ndarray) -> None:
        seen = packed * d.rig.gains[light].astype(np.float32)
        np.add(total, seen, out=total)
        np.maximum(brightest, seen, out=brightest)

    full, _ = assemble_imageset(d, frames, reference, add)
    lit = region.pack(full)
    gain, lights = d.schedule.tracking_gain, int(d.rig.enabled.sum())
    use = (brightest < 0.8).all(axis=2) & (lit.mean(axis=2) > 0.2 * np.percentile(lit.mean(axis=2), 95))
    use &= (lit * gain < 0.9).all(axis=2)
    if not use.any():
        raise CaptureError("ambient: every lit pixel is near full scale in some frame; record with less light")
    ambient = float(ambient_from_closure(total[use], lit[use], lights, gain).sum(dtype=np.float64))
    share = ambient / (float(lit[use].sum(dtype=np.float64)) - ambient / gain)
    if share < 0:
        log.warning(
            "ambient: closure says %.2f %% of the mean light, which cannot be; nothing is subtracted",
            100 * share * lights,
        )
        return 0.0
    return share
