"""Where the lighting cycle lies in a take: clock ticks, phase, unrecorded gaps, bad frames.

A frame is reduced to three numbers, its mean and its mean x and y moment. A convex subject lit from one side is
bright on that side, so these follow the light's direction closely enough that the order of the lights, known from
the schedule, can be found in the stream by correlation with a Lambert sphere.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import percentile_filter, uniform_filter1d

from olatkit.errors import CaptureError
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule

MIN_SCORE = 0.7
MIN_GAP = 0.25
MIN_COMB_CONTRAST = 1.3
MOMENT_FLOOR = 0.1  # of the median frame mean: keeps moments of nearly black frames from being noise over noise
BRIGHTNESS_FLOOR = 0.3  # of the same: rear lights change most as the head turns and matter least
MOTION_ALLOWANCE = 3.5  # times the local change per cycle; 3.1 is the most seen on a head at 400 px/s, 128 px wide
_GRID = 128  # cells along the longer side: 65,000 pixels give a 4K frame's moments to a fraction of a percent


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


def frame_features(frames: np.ndarray, *, black_level: float, white_level: float) -> np.ndarray:
    """Mean, x moment and y moment of every frame.

    Parameters
    ----------
    frames : ndarray, shape (T, H, W) or (T, H, W, 3)
        Linear frames, integer or float, rows top-down. Mosaics are read in whole 2x2 cells, so that every colour
        counts alike wherever the subject is. Large frames are sampled on a coarse grid of such cells.
    black_level, white_level : float
        Values of no light and of full scale.

    Returns
    -------
    ndarray, shape (T, 3), float64
        Mean of I, x I and y I; I = 1 at full scale, x to the right and y up from the centre, ±1 at the edges of
        the longer side.
    """
    if frames.ndim not in (3, 4) or min(frames.shape[1:3]) < 2:
        raise ValueError(f"frames have shape {frames.shape}, expected (T, H, W) or (T, H, W, 3) of at least 2x2 pixels")
    height, width = (n // 2 * 2 for n in frames.shape[1:3])
    step = 2 * -(-max(height, width) // (2 * _GRID))
    first = (step - 2) // 4 * 2  # the middle cell of each step
    cells = np.zeros((), np.float32)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        cells = cells + frames[:, first + dy : height : step, first + dx : width : step].astype(np.float32)
    cells = cells.mean(axis=3) if cells.ndim == 4 else cells
    cells = (cells / 4 - np.float32(black_level)) / np.float32(white_level - black_level)
    half = max(height, width) / 2
    x = (np.arange(first, width, step) + 1 - width / 2) / half
    y = (height / 2 - np.arange(first, height, step) - 1) / half
    columns, rows = cells.mean(axis=1, dtype=float), cells.mean(axis=2, dtype=float)
    return np.stack([columns.mean(axis=1), columns @ x / len(x), rows @ y / len(y)], axis=1)


def ticks_from_times(times_s: np.ndarray, frame_rate_hz: float) -> np.ndarray:
    """Number the frames by camera clock, so that dropped frames leave gaps.

    Parameters
    ----------
    times_s : ndarray, shape (N,)
        Timestamps [s]; each may be off by less than half a frame interval, and the camera's clock may differ from
        the nominal rate by some percent (its period is fitted).
    frame_rate_hz : float
        Nominal frame rate.

    Returns
    -------
    ndarray of int64, shape (N,)
        Ticks, strictly ascending from 0.

    Raises
    ------
    CaptureError
        A timestamp that is not finite, repeats or goes backwards; frames that typically lie more than one interval
        apart, or at another rate than the nominal one.
    """
    times = np.asarray(times_s, float)
    if times.ndim != 1 or times.size == 0:
        raise CaptureError(f"timestamps have shape {times.shape}, expected one per frame")
    if times.size == 1:
        return np.zeros(1, np.int64)
    intervals = np.diff(times)
    wrong = np.flatnonzero(~(intervals > 0))
    if wrong.size:
        n = int(wrong[0]) + 1
        raise CaptureError(
            f"frame {n} has time {times[n]:.9g} s after {times[n - 1]:.9g} s of frame {n - 1}, expected ascending "
            "times; the file's time block may be damaged: export the take again"
        )
    period = float(np.median(intervals))
    apart = period * frame_rate_hz
    if abs(apart - 1) > 0.1:
        raise CaptureError(
            f"frames lie {period * 1e6:.6g} us apart, {apart:.4g} intervals at the nominal {frame_rate_hz:g} Hz, "
            "expected 1: a lighting cycle needs every frame. Save the take whole, or correct its frame rate"
        )
    ends = np.concatenate([[-1], np.flatnonzero(intervals > 1.5 * period), [len(intervals)]])
    longest = int(np.diff(ends).argmax())
    run = times[ends[longest] + 1 : ends[longest + 1] + 1]  # without a gap: its slope is the period to high precision
    period = np.polyfit(np.arange(len(run)), run, 1)[0] if len(run) > 2 else period
    ticks = np.concatenate([[0], np.cumsum(np.round(intervals / period))])
    for _ in range(2):  # fitting the clock keeps jitter and a period that is slightly off from adding up
        slope, start = np.polyfit(ticks, times, 1)
        ticks = np.round((times - start) / slope)
    ticks = (ticks - ticks[0]).astype(np.int64)
    same = np.flatnonzero(np.diff(ticks) < 1)
    if same.size:
        n = int(same[0]) + 1
        raise CaptureError(
            f"frames {n - 1} and {n} lie {intervals[n - 1] * 1e6:.6g} us apart, expected about {period * 1e6:.6g} us; "
            "the timestamps are too irregular to number the frames: export the take again"
        )
    return ticks


def find_phase(
    features: np.ndarray, ticks: np.ndarray, schedule: LightingSchedule, rig: LightRig
) -> PhaseEstimate:
    """Find which frames show slot 0 of the cycle from what the frames look like.

    The take is searched in stretches of two cycles until one answers clearly, so that an empty stage at the start
    or an unrecorded gap later does no harm.

    Parameters
    ----------
    features : ndarray, shape (N, 3)
        From :func:`frame_features`.
    ticks : ndarray of int, shape (N,)
        From :func:`ticks_from_times`.
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
        is at most 0.7, or the next offset is closer than 0.25. If neighbouring slots look alike (lights lit in
        sequence) only offsets that agree with the tracking frames compete.
    """
    template = _slot_moments(schedule, rig)
    span = int(ticks[-1] - ticks[0]) + 1 if len(ticks) else 0
    if span < schedule.cycle or 2 * len(ticks) < schedule.cycle:
        raise CaptureError(
            f"the take has {len(ticks)} frames over {span} frame intervals, expected at least one cycle of schedule "
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
    template = _slot_moments(schedule, rig)
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


def find_bad_frames(
    features: np.ndarray, ticks: np.ndarray, schedule: LightingSchedule, phase: int, *, sigma: float = 5.0,
    min_change: float = 0.1,
) -> np.ndarray:
    """Frames whose brightness does not fit the same slot one cycle before and after (flicker, flash, black frame).

    The logarithm of a frame's mean must lie between those of the cycles before and after and their continuations,
    so that a head that turns, and turns back, raises no alarm. In the first and last cycle the nearest cycles are
    continued. A frame with fewer than two such companions is not judged. Where brightness changes fast all around
    (over the 61 nearest frames) more is allowed, since rear lights flare up as a head turns.

    Parameters
    ----------
    features, ticks, schedule
        As for :func:`find_phase`; ticks with gaps found.
    phase : int
        Phase of the take.
    sigma : float
        Deviation, in robust standard deviations (MAD) of the whole take, above which a frame is bad.
    min_change : float
        Smallest change that counts, relative to the frame's mean plus 0.3 of the take's median.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    floor = BRIGHTNESS_FLOOR * np.median(features[:, 0])
    level = np.log(np.maximum(features[:, 0] + floor, 1e-3 * floor + 1e-12))
    b3, b2, b1, a1, a2, a3 = (_values_at(level, ticks, ticks + k * schedule.cycle) for k in (-3, -2, -1, 1, 2, 3))
    both = ~np.isnan(b1) & ~np.isnan(a1)
    inner = np.stack([b1, a1, 2 * b1 - b2, 2 * a1 - a2])
    outer = np.stack([b1, a1, b2, a2, 2 * b1 - b2, 2 * a1 - a2, 3 * b1 - 3 * b2 + b3, 3 * a1 - 3 * a2 + a3])
    judged = both | ~np.isnan(b1 + b2) | ~np.isnan(a1 + a2)
    deviation = np.where(both, _outside(level, inner), _outside(level, outer))
    change = np.nan_to_num(np.abs(level - np.where(np.isnan(b1), a1, b1)))
    allowed = np.maximum(np.log1p(min_change), MOTION_ALLOWANCE * percentile_filter(change, 85, 61, mode="nearest"))
    bad = np.zeros(len(level), bool)
    for group in (both, judged & ~both):
        if group.any():
            spread = 1.4826 * np.median(np.abs(deviation[group]))
            bad[group] = np.abs(deviation[group]) > np.maximum(sigma * spread, allowed[group])
    return bad


def _outside(level: np.ndarray, hull: np.ndarray) -> np.ndarray:
    """How far each level lies above (positive) or below the range of the values (K, N), NaN being no value."""
    return level - np.clip(level, np.fmin.reduce(hull), np.fmax.reduce(hull))


def _values_at(values: np.ndarray, ticks: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values of the frames at the wanted ticks, NaN where there is none."""
    at = np.minimum(np.searchsorted(ticks, wanted), len(ticks) - 1)
    return np.where(ticks[at] == wanted, values[at], np.nan)


def _slot_moments(schedule: LightingSchedule, rig: LightRig, size: int = 64) -> np.ndarray:
    """Mean, x and y moment of a Lambert sphere in every slot, shape (P, 3)."""
    if len(rig) != schedule.n_lights:
        raise CaptureError(
            f"rig '{rig.name}' has {len(rig)} lights, schedule '{schedule.name}' has {schedule.n_lights}, expected "
            "the same number; use the rig and the schedule of one take"
        )
    grid = (np.arange(size) + 0.5) * 2 / size - 1
    x, y = (v.ravel() for v in np.meshgrid(grid, -grid))
    inside = x * x + y * y < 1
    normals = np.stack([x, y, np.sqrt(np.maximum(1 - x * x - y * y, 0))], axis=1)[inside]
    shading = np.maximum(normals @ rig.directions.T, 0)
    moments = np.stack([shading.mean(0), *(normals[:, k] @ shading / len(shading) for k in (0, 1))], axis=1)
    gains = np.asarray(rig.gains).mean(axis=1) * np.asarray(rig.enabled)
    return schedule.drive @ (moments * gains[:, None])


def _normalised(moments: np.ndarray, typical: float, drift: str = "") -> np.ndarray:
    """Mean and centroid: moments divided by the mean, so that gains of lights matter less.

    ``drift`` names how the running mean of the centroid over 21 frames is taken off (scipy's boundary mode).
    """
    centroid = moments[:, 1:] / (moments[:, :1] + MOMENT_FLOOR * typical)
    if drift:
        centroid = centroid - uniform_filter1d(centroid, 21, axis=0, mode=drift)
    return np.concatenate([moments[:, :1], centroid], axis=1)


def _estimate(
    features: np.ndarray, ticks: np.ndarray, schedule: LightingSchedule, template: np.ndarray, *, first_frame: int = 0
) -> PhaseEstimate:
    """Best offset of one stretch of frames; whether to believe it is for :func:`_accepted`."""
    coded = np.isin(np.arange(schedule.cycle), schedule.coded_slots)
    tracking = schedule.kinds == "track"
    scores = _offset_scores(features, ticks, template, coded, schedule.is_multiplexed)
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


def _offset_scores(
    features: np.ndarray, ticks: np.ndarray, template: np.ndarray, coded: np.ndarray, mixed: bool
) -> np.ndarray:
    """Mean Pearson correlation of the moments with the template at every offset, shape (P,).

    Frames are first summed by tick modulo the cycle; sums over offsets are then products of (P, P) matrices.
    Under mixes of many lights the centroid moves less by the light than by the head, hence the high-pass.
    """
    cycle = len(template)
    measured = _normalised(features, float(np.median(features[:, 0])), "nearest" if mixed else "")
    expected = _normalised(template, float(np.median(template[coded, 0])), "wrap" if mixed else "")
    measured = measured - measured.mean(axis=0)
    expected = (expected - expected[coded].mean(axis=0)) * coded[:, None]
    residue = np.asarray(ticks) % cycle
    count = np.bincount(residue, minlength=cycle).astype(float)
    fold, fold2 = (
        np.stack([np.bincount(residue, v, cycle) for v in values.T], axis=1) for values in (measured, measured**2)
    )
    slot = (np.arange(cycle)[None] - np.arange(cycle)[:, None]) % cycle  # (offset, residue)
    weight = coded.astype(float)[slot]
    n = np.maximum(weight @ count, 1)[:, None]
    mean_a, mean_b = weight @ fold / n, np.einsum("ork,r->ok", expected[slot], count) / n
    cov = np.einsum("ork,rk->ok", expected[slot], fold) / n - mean_a * mean_b
    var_a = weight @ fold2 / n - mean_a**2
    var_b = np.einsum("ork,r->ok", expected[slot] ** 2, count) / n - mean_b**2
    useful = expected.std(axis=0) > 1e-9 * np.abs(template).max()  # lights on one line: the other moment says nothing
    correlation = cov / np.sqrt(np.maximum(var_a * var_b, 1e-30))
    return correlation[:, useful].mean(axis=1) if useful.any() else np.zeros(cycle)


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
    measured = _normalised(features, float(np.median(features[:, 0])))
    expected = _normalised(template, float(np.median(template[:, 0])))
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
