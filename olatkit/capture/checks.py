"""Whether a take is good: each thing that can go wrong, graded against a stated limit."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from olatkit.capture.sync import MIN_SCORE
from olatkit.imageset import CROSSTALK, INTERPOLATED, LOW_FLOW_CONFIDENCE, ONE_SIDED, SATURATED
from olatkit.io.takes import Take
from olatkit.wording import counted

LEVELS = ("good", "look", "bad")
CLEARLY_LIT = 0.1  # of the brightest light, from which a light is judged by its picture
BEHIND = -0.2  # z of a direction below which the camera sees little of what the light does
OVERHEAD = 0.85  # y of a direction, from which brow and hair shade the face so that no smooth law holds


@dataclass(frozen=True)
class Check:
    """One graded property of a take: ``level`` of :data:`LEVELS`, what was found, the limit, and what it means."""

    level: str
    name: str
    found: str
    limit: str
    meaning: str


@dataclass(frozen=True, eq=False)
class LightLevels:
    """What each light does in one imageset, measured on its subject.

    Parameters
    ----------
    mean : ndarray, shape (L,)
        Mean radiance of the subject, relative to full scale, gain divided out.
    centroid : ndarray, shape (L, 2)
        Place of the light's centre of brightness on the subject, x right and y up, in units of its size.
    saturated : ndarray, shape (L,)
        Share of the subject's pixels at or above full scale in any channel.
    """

    mean: np.ndarray
    centroid: np.ndarray
    saturated: np.ndarray


def check_take(take: Take, levels: LightLevels | None = None) -> list[Check]:
    """Grade everything that is known about a take; what was not recorded is left out.

    Parameters
    ----------
    take : Take
        With the notes and statistics of ``olatkit ingest``; imported photographs have fewer, and fewer checks.
    levels : LightLevels, optional
        Adds the checks of the single lights.

    Returns
    -------
    list of Check
        In the order of the process: clock, light, motion, result.
    """
    checks = [one(take) for one in _CHECKS]
    if levels is not None:
        checks += [_check_dark_lights(take, levels), _check_places(take, levels)]
    return [check for check in checks if check is not None]


def worst(checks: list[Check]) -> str:
    """The worst level among checks, 'good' if there are none."""
    return max((check.level for check in checks), key=LEVELS.index, default="good")


def odd_lights(take: Take, levels: LightLevels) -> dict[int, int]:
    """Lights whose pictures do not look as their positions say: swapped, turned away or measured wrongly.

    Brightness and its centre on the subject vary smoothly with the direction of light. A quadratic of the direction
    is fitted robustly to all lights; a light is odd if it is off by more than 10 robust standard deviations and
    looks like one over 40 degrees away. Swaps of neighbours are not seen; lights behind the subject and lights under
    a tenth of the brightest or nearly overhead are not judged.

    Returns
    -------
    dict of int to int
        Odd lights, each with the light as which it looks; empty if fewer than 24 can be judged.
    """
    bright = levels.mean > CLEARLY_LIT * levels.mean.max()
    seen = (take.rig.directions[:, 2] > BEHIND) & (take.rig.directions[:, 1] < OVERHEAD)
    lit = np.flatnonzero(np.asarray(take.rig.enabled) & bright & seen)
    if len(lit) < 24:
        return {}
    directions = take.rig.directions[lit]
    x, y, z = directions.T
    basis = np.stack([np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x, y * y], axis=1)
    values = np.column_stack([np.sqrt(levels.mean[lit]), levels.centroid[lit]])
    weights, spread, expected = np.ones(len(lit)), np.ones(3), values
    for _ in range(10):  # iteratively reweighted, so that odd lights do not bend the fit
        root = np.sqrt(weights)[:, None]
        expected = basis @ np.linalg.lstsq(basis * root, values * root, rcond=None)[0]
        spread = 1.4826 * np.median(np.abs(values - expected), axis=0) + 1e-6
        off = np.linalg.norm((values - expected) / spread, axis=1)
        weights = 1 / np.maximum(1, off / 3) ** 2
    like = np.linalg.norm((values[:, None] - expected[None]) / spread, axis=2).argmin(axis=1)
    far = (directions * directions[like]).sum(axis=1) < np.cos(np.radians(40))
    return {int(lit[i]): int(lit[like[i]]) for i in np.flatnonzero(far & (off > 10))}


def _check_phase(take: Take) -> Check | None:
    score = take.notes.get("phase_score")
    if score is None:
        return None
    limit = f"score ≥ 0.50 and ≥ 0.35 above the next offset; impossible below {MIN_SCORE:.2f}"
    if not math.isfinite(score):
        found = f"{counted(take.notes['phase'], 'frame')}, given by hand"
        return Check("look", "Phase", found, limit, "nothing in the frames confirms it")
    runner_up = take.notes["phase_runner_up"]
    level = "good" if score >= 0.5 and score - runner_up >= 0.35 else "look" if score > MIN_SCORE else "bad"
    return Check(
        level, "Phase", f"{counted(take.notes['phase'], 'frame')}, score {score:.2f}, next {runner_up:.2f}", limit,
        "which frame shows which light; wrong by one frame, every picture is lit by another light",
    )


def _check_lock(take: Take) -> Check | None:
    scores = take.notes.get("window_scores")
    if not scores:
        return None
    low = int((np.array(scores) < MIN_SCORE).sum())
    gaps = take.notes.get("unrecorded_gaps", [])
    level = "bad" if low > 0.1 * len(scores) else "look" if low or gaps else "good"
    found = f"{len(scores) - low} of {counted(len(scores), 'window')} in step"
    if gaps:
        lost = counted(sum(n for _, n in gaps), "frame")
        found += f"; {lost} lost without a trace in {counted(len(gaps), 'place')}, corrected"
    return Check(level, "Lock over the take", found, "every window ≥ 0.70, no hidden loss",
                 "camera and lights stay in step")


def _check_frames(take: Take) -> Check | None:
    frames = take.notes.get("frames")
    if not frames:
        return None
    dropped, bad = int(take.notes.get("dropped", 0)), len(take.notes.get("bad_frames", []))
    skipped = len(take.notes.get("skipped_references", []))
    share = (dropped + bad) / (frames + dropped)
    level = _grade(share, 0, 0.01)
    if skipped:
        level = "bad" if skipped > 0.05 * (len(take) + skipped) else "look"
    found = f"{dropped} dropped, {bad} flickering or bad, of {frames + dropped}; {counted(skipped, 'imageset')} skipped"
    return Check(level, "Frames", found, "none; bad from 1 % of the frames or 5 % of the imagesets",
                 "a missing look at a light is replaced by one further away or by its neighbours")


def _check_exposure(take: Take) -> Check | None:
    level = take.notes.get("tracking_level")
    if level is None:
        return None
    grade = "good" if 0.2 <= level <= 0.95 else "look" if 0.05 <= level <= 0.98 else "bad"
    return Check(grade, "Tracking exposure", f"{100 * level:.0f} % of full scale", "20 to 95 %",
                 "bright parts of the fully lit frames; too dark is noisy, too bright blinds the flow")


def _check_saturation(take: Take) -> Check | None:
    if "saturated" not in take.stats:
        return None
    share, lights = float(np.nanmax(take.stats["saturated"])), float(((take.quality & SATURATED) > 0).mean())
    level = max(_grade(share, 0.005, 0.05), _grade(lights, 0.1, 0.33), key=LEVELS.index)
    return Check(level, "Saturation", f"{_percent(share)} of the region, {_percent(lights)} of the images above 1 %",
                 "under 0.5 % and 10 %; bad from 5 % and 33 %",
                 "highlights that the sensor cut off stay too dark when relit")


def _check_code_range(take: Take) -> Check | None:
    if "beyond_codes" not in take.stats:
        return None
    count = float(take.stats["beyond_codes"].sum())
    share = count / math.prod(take.codes_shape)
    return Check(_grade(share, 1e-4, 1e-2), "Stored range", f"{counted(round(count), 'value')} limited ({_percent(share)})",
                 "under 0.01 %; bad from 1 %", "values under -0.05 or over 4 of full scale do not fit the stored codes")


def _check_closure(take: Take) -> Check | None:
    if "closure" not in take.stats:
        return None
    errors = take.stats["closure"]
    middle = float(np.median(errors))
    found = f"{100 * middle:+.1f} % (from {100 * errors.min():+.1f} to {100 * errors.max():+.1f} %)"
    return Check(_grade(abs(middle), 0.03, 0.1), "Closure", found, "within ±3 %; bad from ±10 %",
                 "sum of all lights against the fully lit frame: cut highlights, ambient light, drive or black level")


def _check_crosstalk(take: Take) -> Check | None:
    if "crosstalk" not in take.notes:
        return None
    used, estimate = float(take.notes["crosstalk"]), take.notes.get("crosstalk_estimate")
    measured = "not measured"
    if estimate is not None:
        measured = f"measured {100 * estimate[0]:.2f} ± {100 * estimate[1]:.2f} %".replace("-0.00", "0.00")
    left = float(((take.quality & CROSSTALK) > 0).mean())
    level = _grade(used, 0.05, 0.2)
    if estimate is not None and estimate[0] - used > max(0.005, 3 * estimate[1]):
        level = max(level, "look", key=LEVELS.index)
    found = f"{measured}, {100 * used:.2f} % inverted"
    found += f"; left in {_percent(left)} of the images after gaps" if left else ""
    return Check(level, "Crosstalk", found, "under 5 %; bad from 20 %; what is measured is inverted",
                 "light of one frame that leaks into the next one")


def _check_ambient(take: Take) -> Check | None:
    if take.schedule is None:
        return None
    share = take.notes.get("ambient_share")
    if share is not None:
        whole = float(share) * len(take.rig)
        found = f"{100 * whole:.2f} % of the mean light, subtracted"
        level = _grade(whole, 0.05, 0.3)
        if whole < -0.005:  # cut highlights make the sum too dark, which looks like negative ambient light
            level, found = "bad", f"{found}: there is no negative light"
        return Check(level, "Ambient light", found, "0 to 5 %; bad from 30 % and below 0",
                     "light in the room that is on in every frame; cut highlights can pass for it")
    dark = int((take.schedule.kinds == "dark").sum())
    found = f"subtracted by {counted(dark, 'dark slot')} per cycle" if dark else "not measured: no dark slots"
    return Check("good", "Ambient light", found, "dark slots, or closure within ±3 %",
                 "light in the room that is on in every frame")


def _check_noise(take: Take) -> Check | None:
    full_well, read_noise = (take.notes.get(f"measured_{name}") for name in ("full_well_e", "read_noise_e"))
    if full_well is None or read_noise is None:
        return None
    share = read_noise / full_well
    found = f"{full_well:.0f} e⁻ at full scale, read noise {read_noise:.1f} e⁻ ({100 * share:.2g} % of full scale)"
    return Check(_grade(share, 0.005, 0.02), "Sensor noise", found, "read noise under 0.5 %; bad from 2 %",
                 "measured from the dark and flat recordings; shadows drown in read noise")


def _check_color(take: Take) -> Check | None:
    error = take.notes.get("color_error")
    if error is None:
        return None
    found = f"ΔE {error[0]:.1f} on average, {error[1]:.1f} at most, over the chart's patches"
    return Check(_grade(error[0], 5, 10), "Colour", found, "average under 5; bad from 10",
                 "what no 3x3 matrix can correct: narrow LED spectra, a reflection on the chart, the wrong chart")


def _check_motion(take: Take) -> Check | None:
    if "motion_px" not in take.stats or take.schedule is None:
        return None
    speed = take.stats["motion_px"]
    share = float(speed.max()) / take.box[3]
    found = f"up to {speed.max():.1f} px in 60 frames ({100 * share:.1f} % of the width)"
    return Check(_grade(share, 0.04, 0.12), "Motion", found, "under 4 %; bad from 12 %",
                 "fast motion leaves shading and silhouettes less exact")


def _check_flow(take: Take) -> Check | None:
    if "disagreement" not in take.stats or take.schedule is None:
        return None
    if take.notes.get("config", {}).get("motion", {}).get("method") == "none":
        return Check("look", "Motion tracking", "switched off", "on", "nothing was brought to the reference instant")
    share = float(take.stats["disagreement"].max())
    lights = float(((take.quality & LOW_FLOW_CONFIDENCE) > 0).mean())
    level = max(_grade(share, 0.05, 0.15), _grade(lights, 0.01, 0.1), key=LEVELS.index)
    found = f"{_percent(share)} of the subject disagrees at worst; {_percent(lights)} of the images flagged"
    return Check(level, "Motion tracking", found, "under 5 %, flagged under 1 %; bad from 15 % and 10 %",
                 "fully lit frames, brought together, must look alike")


def _check_looks(take: Take) -> Check | None:
    if take.schedule is None:
        return None
    inner = _inner(take)
    filled = float(((take.quality & INTERPOLATED) > 0).mean())
    sided = float(((take.quality[inner] & ONE_SIDED) > 0).mean()) if inner.any() else 0.0
    level = max(_grade(filled, 0, 0.05), _grade(sided, 0.01, 0.1), key=LEVELS.index)
    found = f"{_percent(sided)} without a near look, {_percent(filled)} filled in from neighbours"
    return Check(level, "Looks at each light", found, "under 1 % and none; bad from 10 % and 5 %",
                 "away from both ends of the take every light is seen before and after each instant")


def _check_dead(take: Take) -> Check:
    dead = np.flatnonzero(~np.asarray(take.rig.enabled))
    share = len(dead) / len(take.rig)
    found = f"none of {len(take.rig)}" if not dead.size else f"{len(dead)} of {len(take.rig)}: {_list(dead)}"
    return Check(_grade(share, 0, 0.1), "Dead lights", found, "none; bad from 10 %",
                 "the rig file switches these off; neighbours cover for them")


def _check_dark_lights(take: Take, levels: LightLevels) -> Check:
    """Enabled lights that give next to nothing although lights beside them do; those behind are dark by nature."""
    enabled = np.asarray(take.rig.enabled)
    near = np.argsort(-(take.rig.directions @ take.rig.directions.T), axis=1)[:, 1:5]
    around = np.median(levels.mean[near], axis=1) if near.size else levels.mean
    lit = (take.rig.directions[:, 2] > BEHIND) & (around > CLEARLY_LIT * levels.mean.max())
    dark = np.flatnonzero(enabled & lit & (levels.mean < 0.05 * around))
    judged = int((enabled & lit).sum())
    found = f"{len(dark)}: {_list(dark)}" if dark.size else f"none of {judged} that light the front"
    return Check("bad" if dark.size else "good", "Dark though enabled", found, "none under 5 % of its neighbours",
                 "a lamp that failed, or a schedule that names the wrong one")


def _check_places(take: Take, levels: LightLevels) -> Check | None:
    if len(take.rig) < 24:
        return None
    odd = odd_lights(take, levels)
    shown = [f"{light} (looks like {like})" for light, like in list(odd.items())[:6]]
    found = f"{len(odd)} odd: {', '.join(shown)}" + (" ..." if len(odd) > 6 else "")
    found = found if odd else "all as their positions say"
    return Check("look" if odd else "good", "Lights in place", found, "none looks like a light over 40° away",
                 "a lamp swapped or given a wrong position lights the wrong side")


_CHECKS: tuple[Callable[[Take], Check | None], ...] = (
    _check_phase, _check_lock, _check_frames, _check_exposure, _check_saturation, _check_code_range, _check_noise,
    _check_color, _check_crosstalk, _check_ambient, _check_closure, _check_motion, _check_flow, _check_looks, _check_dead,
)


def _inner(take: Take) -> np.ndarray:
    """Imagesets with a whole cycle on both sides, bool (N,); towards the ends single looks are to be expected."""
    assert take.schedule is not None
    cycle, ticks = take.schedule.cycle, np.asarray(take.reference_ticks)
    first = int(take.notes.get("first_frame", 0))
    last = first + int(take.notes.get("stop_frame", 0)) - first + int(take.notes.get("dropped", 0)) - 1
    return (ticks - first >= cycle) & (last - ticks >= cycle)


def _grade(value: float, look: float, bad: float) -> str:
    """Level of a value where more is worse: good up to ``look``, bad from ``bad``."""
    return "good" if value <= look else "look" if value < bad else "bad"


def _percent(share: float) -> str:
    return "none" if share == 0 else f"{100 * share:.2g} %"


def _list(items: Any) -> str:
    shown = ", ".join(str(int(i)) for i in list(items)[:8])
    return shown + (" ..." if len(items) > 8 else "")


def measure_light(rgb: np.ndarray, mask: np.ndarray, gain: np.ndarray) -> tuple[float, float, float, float]:
    """Mean, centre of brightness (x, y) and saturated share of one light's image on the subject.

    Parameters
    ----------
    rgb : ndarray, shape (H, W, 3)
        Linear, gain divided out.
    mask : ndarray of bool, shape (H, W)
        The subject, not empty.
    gain : ndarray, shape (3,)
        The light's gain, to know what the sensor saw.
    """
    rows, columns = np.nonzero(mask)
    seen = rgb[rows, columns]
    weight = np.maximum(seen.mean(axis=1), 0)
    total = max(float(weight.sum()), 1e-9)
    half = max(int(np.ptp(rows)), int(np.ptp(columns)), 1) / 2
    x = float((columns * weight).sum()) / total - float(columns.mean())
    y = float(rows.mean()) - float((rows * weight).sum()) / total
    saturated = float((seen * gain >= 0.98).any(axis=1).mean())
    return float(seen.mean()), x / half, y / half, saturated
