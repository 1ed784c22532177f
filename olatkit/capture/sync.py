"""Where the lighting cycle lies in a take: its phase, and frames lost without a trace."""

from dataclasses import dataclass

import numpy as np

from olatkit.capture.moments import normalise_moments, offset_scores, slot_moments
from olatkit.errors import CaptureError
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule
from olatkit.wording import counted

MIN_SCORE = 0.4  # hair, ears and shoulders are no sphere and cost score; a wrong offset stays far below this
MIN_GAP = 0.25
MIN_COMB_CONTRAST = 1.3


@dataclass(frozen=True)
class PhaseEstimate:
    """The phase of a take and how certain it is.

    Parameters
    ----------
    phase : int
        Camera tick, modulo the cycle, of the frames that show slot 0; the first stored frame is tick 0.
    score, runner_up : float
        Mean correlation with the predicted moments at the best offset and at the next one that was a candidate.
    comb_contrast : float
        How much the tracking frames stand out at this phase against the best differing offset; NaN without
        tracking slots.
    scores : ndarray, shape (P,)
        Correlation at every offset.
    first_frame : int
        First frame of the stretch of the take that was used.
    """

    phase: int
    score: float
    runner_up: float
    comb_contrast: float
    scores: np.ndarray
    first_frame: int = 0


@dataclass(frozen=True)
class PhaseTrack:
    """Clock ticks after unrecorded gaps were found.

    Parameters
    ----------
    ticks : ndarray of int64, shape (N,)
        Ticks, shifted from each gap onwards.
    events : tuple of (int, int)
        First frame after each gap and number of ticks missing before it.
    window_frames : ndarray of int, shape (W,)
        First frame of every window that was checked.
    window_scores : ndarray, shape (W,)
        Correlation of each window at the tracked phase.
    """

    ticks: np.ndarray
    events: tuple[tuple[int, int], ...]
    window_frames: np.ndarray
    window_scores: np.ndarray


def find_phase(
    features: np.ndarray, ticks: np.ndarray, schedule: LightingSchedule, rig: LightRig
) -> PhaseEstimate:
    """Find which frames show slot 0 of the cycle from what the frames look like.

    The take is searched in stretches of two cycles until one answers clearly, so that an empty stage at the start
    or an unrecorded gap later does no harm.

    Parameters
    ----------
    features : ndarray, shape (N, 3)
        From :func:`olatkit.capture.moments.frame_features`.
    ticks : ndarray of int, shape (N,)
        From :func:`olatkit.capture.clock.ticks_from_times`.
    schedule : LightingSchedule
        Any layout of tracking, single-light and mix slots.
    rig : LightRig
        Directions, gains and dead lights are used.

    Returns
    -------
    PhaseEstimate

    Raises
    ------
    CaptureError
        Rig and schedule disagree, the take is shorter than a cycle, or no offset stands out: the best correlation
        is at most 0.4, or the next offset is closer than 0.25. If neighbouring slots look alike (lights lit in
        sequence) only offsets that agree with the tracking frames compete.
    """
    template = slot_moments(schedule, rig)
    span = int(ticks[-1] - ticks[0]) + 1 if len(ticks) else 0
    if span < schedule.cycle or 2 * len(ticks) < schedule.cycle:
        raise CaptureError(
            f"the take has {counted(len(ticks), 'frame')} over {counted(span, 'frame interval')}, expected at least "
            "one cycle of schedule "
            f"'{schedule.name}', {schedule.cycle}; record a longer take or choose another schedule"
        )
    best = None
    starts = np.arange(ticks[0], ticks[-1] + 1, 2 * schedule.cycle)
    for tick in starts:
        first, last = np.searchsorted(ticks, (tick, tick + 2 * schedule.cycle))
        if 2 * (last - first) < schedule.cycle:
            continue
        estimate = _estimate(features[first:last], ticks[first:last], schedule, template, first_frame=int(first))
        if _accepted(estimate):
            return estimate
        best = estimate if best is None or estimate.score > best.score else best
    shown = "every stretch of it has too many gaps"
    if best:
        shown = f"best offset {best.phase} scores {best.score:.3f}, the next {best.runner_up:.3f}"
    raise CaptureError(
        f"no phase of schedule '{schedule.name}' fits the take: {shown} (expected above {MIN_SCORE} and "
        f"{MIN_GAP} apart). Is it the schedule and rig of this take? Else give the phase yourself: --phase N"
    )


def track_phase(
    features: np.ndarray, ticks: np.ndarray, schedule: LightingSchedule, rig: LightRig, phase: int, *, window: int = 60
) -> PhaseTrack:
    """Follow the phase through the take and find gaps that the timestamps do not show.

    Every ``window`` frames the phase is looked up afresh. Where it jumps, frames were lost without a trace: the
    ticks are shifted from there onwards, the place being the split that explains both sides best. A loss of
    whole cycles cannot be seen, nor two losses within one window.

    Parameters
    ----------
    features, ticks, schedule, rig
        As for :func:`find_phase`.
    phase : int
        Phase at the start of the take.
    window : int
        Frames per look; below half a cycle the answer becomes uncertain.

    Returns
    -------
    PhaseTrack
    """
    template = slot_moments(schedule, rig)
    cycle = schedule.cycle
    fixed = np.array(ticks, np.int64)
    events, scores = [], []
    starts = list(range(0, max(len(fixed) - window // 2, 1), window))
    settled = 0  # everything before this frame is known to fit
    for start in starts:
        stop = len(fixed) if start == starts[-1] else start + window
        part = slice(start, stop)
        estimate = _estimate(features[part], fixed[part], schedule, template)
        skipped = (phase - estimate.phase) % cycle
        here = estimate.scores[phase % cycle]
        if skipped and _accepted(estimate) and estimate.score - here > MIN_GAP:
            known = max(settled - 2 * cycle, 0)
            old = (fixed[known:stop] - phase) % cycle
            lost = known + _split(features[known:stop], old, (old + skipped) % cycle, template, settled - known, window)
            fixed[lost:] += skipped
            events.append((lost, int(skipped)))
            here = estimate.score
        if here > MIN_SCORE:
            settled = start
        scores.append(here)
    return PhaseTrack(fixed, tuple(events), np.array(starts), np.array(scores))


def _estimate(
    features: np.ndarray, ticks: np.ndarray, schedule: LightingSchedule, template: np.ndarray, *, first_frame: int = 0
) -> PhaseEstimate:
    """Best offset of one stretch of frames; whether to believe it is for :func:`_accepted`."""
    coded = np.isin(np.arange(schedule.cycle), schedule.coded_slots)
    tracking = schedule.kinds == "track"
    scores = offset_scores(features, ticks, template, coded, schedule.is_multiplexed)
    comb = _comb(features, ticks, tracking, template)
    best = int(scores.argmax())
    runner_up = float(np.delete(scores, best).max(initial=-1.0))
    contrast = _contrast(comb, tracking, best)
    if scores[best] - runner_up <= MIN_GAP and np.isfinite(comb).any():
        peak = int(comb.argmax())
        rivals = np.flatnonzero(_same_comb(tracking, peak))
        if _contrast(comb, tracking, peak) >= MIN_COMB_CONTRAST:  # neighbours look alike: the comb decides among them
            best = int(rivals[scores[rivals].argmax()])
            runner_up = float(scores[rivals[rivals != best]].max(initial=-1.0))
            contrast = _contrast(comb, tracking, best)
    return PhaseEstimate(best, float(scores[best]), runner_up, contrast, scores, first_frame)


def _accepted(estimate: PhaseEstimate) -> bool:
    return estimate.score > MIN_SCORE and estimate.score - estimate.runner_up > MIN_GAP


def _comb(features: np.ndarray, ticks: np.ndarray, tracking: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Ratio of tracking frames to the typical frame at every offset (P,), above 1 where it is as scheduled."""
    cycle = len(tracking)
    if not tracking.any() or tracking.all():
        return np.full(cycle, np.nan)
    darker = np.median(template[tracking, 0]) < np.median(template[~tracking, 0])
    level = features[:, 0] / max(float(np.median(features[:, 0])), 1e-12)
    residue = np.asarray(ticks) % cycle
    comb = np.ones(cycle)
    for offset in range(cycle):
        lit = tracking[(residue - offset) % cycle]
        comb[offset] = np.median(level[lit]) if lit.any() else 1.0
    return 1 / np.maximum(comb, 1e-6) if darker else comb


def _same_comb(tracking: np.ndarray, offset: int) -> np.ndarray:
    """Offsets whose tracking frames fall where those of the given offset fall, bool (P,)."""
    shifted = np.stack([np.roll(tracking, k) for k in range(len(tracking))])
    return (shifted == shifted[offset]).all(axis=1)


def _contrast(comb: np.ndarray, tracking: np.ndarray, offset: int) -> float:
    """The comb at one offset against the best offset that places the tracking frames elsewhere."""
    other = comb[~_same_comb(tracking, offset)]
    return float(comb[offset] / max(other.max(initial=1e-6), 1e-6)) if np.isfinite(comb).all() else float("nan")


def _split(
    features: np.ndarray, old: np.ndarray, new: np.ndarray, template: np.ndarray, first: int, window: int
) -> int:
    """First frame that fits the new slots better than the old, at ``first`` or later.

    What each slot should look like comes from the frames before ``first`` and, for slots not seen there, from the
    sphere, scaled to the first window under the old slots and the last one under the new.
    """
    measured = normalise_moments(features, float(np.median(features[:, 0])))
    expected = normalise_moments(template, float(np.median(template[:, 0])))
    rows = np.concatenate([np.arange(first, max(len(old) - window, first))[:window], np.arange(len(old))[-window:]])
    slots = np.where(rows < len(old) - window, old[rows], new[rows])
    predicted = np.empty_like(expected)
    for k in range(expected.shape[1]):
        design = np.stack([expected[:, k], np.ones(len(expected))], axis=1)
        predicted[:, k] = design @ np.linalg.lstsq(design[slots], measured[rows, k], rcond=None)[0]
    for slot in np.unique(old[:first]):
        predicted[slot] = measured[:first][old[:first] == slot][-1]
    spread = measured.var(axis=0) + 1e-30
    wrong_old, wrong_new = (((measured[first:] - predicted[s[first:]]) ** 2 / spread).sum(axis=1) for s in (old, new))
    cost = np.concatenate([[0], np.cumsum(wrong_old)]) + np.concatenate([np.cumsum(wrong_new[::-1])[::-1], [0]])
    return first + int(cost[:-1].argmin())
