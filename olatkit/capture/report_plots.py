"""The plots of a report: each with its title and a line that says what good looks like."""

from dataclasses import dataclass

import numpy as np

from olatkit.capture.checks import LightLevels, odd_lights
from olatkit.capture.page import figure, legend
from olatkit.capture.plots import BLUE, GREEN, GREY, ORANGE, PALE, RED, Limit, Series, dome, matrix, plot
from olatkit.capture.sync import MIN_SCORE
from olatkit.imageset import (
    CLIPPED_CODES,
    CROSSTALK,
    INTERPOLATED,
    LOW_FLOW_CONFIDENCE,
    ONE_SIDED,
    QUALITY_NAMES,
    SATURATED,
)
from olatkit.io.takes import Take

# The first bit of this list that an image has gives its cell its colour: the most serious first.
BIT_COLORS = {
    INTERPOLATED: "#c62828", CROSSTALK: "#8e24aa", LOW_FLOW_CONFIDENCE: "#d9730d", SATURATED: "#f0b400",
    ONE_SIDED: "#5fa3d9", CLIPPED_CODES: "#9aa5ad",
}
FINE_COLOR = "#e6f0e8"


@dataclass(frozen=True, eq=False)
class Comb:
    """Mean of some consecutive frames: ``ticks`` (N,), ``means`` (N,) of full scale, ``tracking`` bool (N,)."""

    ticks: np.ndarray
    means: np.ndarray
    tracking: np.ndarray


def motion_figures(take: Take) -> list[str]:
    """Motion and the disagreement of tracked frames over time."""
    if take.schedule is None or "motion_px" not in take.stats:
        return []
    share = take.notes.get("config", {}).get("motion", {}).get("confidence", 0.05)
    speed = _over_time(
        [Series(take.times_s, take.stats["motion_px"])], "motion [px per 60 frames]",
        Limit(0.04 * take.box[3], "4 % of the width"),
    )
    trust = _over_time(
        [Series(take.times_s, 100 * take.stats["disagreement"])], "disagreement [% of subject]",
        Limit(100 * share, f"{100 * share:g} %: flagged"),
    )
    return [
        figure("Motion of the subject", speed, "95th percentile over the subject. Good: below the line."),
        figure("Does the tracking hold?", trust, "Share of the subject that still differs when two tracking frames are "
               "brought together. Good: far below the line."),
    ]


def dome_figure(take: Take, levels: LightLevels | None, index: int) -> str:
    """Brightness of each light where it stands."""
    if levels is None:
        return ""
    odd = odd_lights(take, levels)
    rings = f" Red rings: {', '.join(map(str, odd))} do not look as their positions say." if odd else ""
    drawn = dome(
        take.rig.directions, levels.mean, enabled=np.asarray(take.rig.enabled), marked=list(odd), unit="mean radiance"
    )
    return figure(
        f"Brightness of each light on the subject, imageset {index}", drawn,
        "Both halves as seen from the camera; numbers are lights, 1 is full scale. Good: smooth, brightest in front; a "
        "swapped or dead light breaks the pattern. Crossed out: switched off by the rig." + rings,
    )


def light_figures(take: Take, levels: LightLevels | None, index: int) -> list[str]:
    """Saturation and gain of each light."""
    lights, gains, out = np.arange(len(take.rig)), np.asarray(take.rig.gains), []
    if levels is not None:
        drawn = plot(
            [Series(lights, 100 * levels.saturated, style="stems", color=ORANGE)], x_label="light",
            y_label="at full scale [% of subject]", limits=[Limit(1, "1 %")], y_range=(0, None),
        )
        out.append(figure("Saturation of each light", drawn, f"Imageset {index}. Good: nothing above the line; lights "
                          "that graze the subject from behind go first."))
    if (gains == 1).all():
        drawn = '<p class="none">All gains are 1: nothing was divided out.</p>'
    else:
        colors = ((RED, "red"), (GREEN, "green"), (BLUE, "blue"))
        series = [Series(lights, gains[:, c], name, color, "points") for c, (color, name) in enumerate(colors)]
        drawn = plot(series, x_label="light", y_label="gain [relative to the mean light]")
    out.append(figure("Gain of each light", drawn, "Divided out once. Good: near 1; a lone outlier is a failing lamp."))
    return out


def quality_figure(take: Take) -> str:
    """Imagesets x lights, coloured by the most serious bit, with the counts of all bits."""
    colors = np.full((*take.quality.shape, 3), _rgb(FINE_COLOR), np.uint8)
    for bit, color in reversed(BIT_COLORS.items()):
        colors[(take.quality & bit) > 0] = _rgb(color)
    counts = {bit: int(((take.quality & bit) > 0).sum()) for bit in BIT_COLORS}
    items = [(FINE_COLOR, f"nothing to report: {int((take.quality == 0).sum())} of {take.quality.size}")]
    items += [(BIT_COLORS[bit], f"{QUALITY_NAMES[bit]}: {count}") for bit, count in counts.items() if count]
    height = int(np.clip(90 + 12 * len(take), 130, 480))
    drawn = matrix(colors, x_label="light", y_label="imageset", size=(1100, height))
    return figure("Imagesets × lights", legend(items) + drawn, "Good: pale. At both ends of the take some lights are "
                  "seen from one side only. Columns point at a light, rows at a moment.")


def level_figures(take: Take) -> list[str]:
    """Closure, saturation, level and size of the subject over time."""
    time, stats, out = take.times_s, take.stats, []
    if "closure" in stats:
        drawn = plot([Series(time, 100 * stats["closure"])], x_label="time [s]", y_label="closure error [%]",
                     limits=[Limit(3, "+3 %"), Limit(-3, "−3 %")])
        out.append(figure("Closure: sum of lights against the fully lit frame", drawn, "Good: flat, between the lines. "
                          "A drift is ambient light or lamps that warm up."))
    if "saturated" in stats:
        drawn = _over_time([Series(time, 100 * stats["saturated"], color=ORANGE)], "saturated [% of region]",
                           Limit(0.5, "0.5 %"))
        out.append(figure("Saturation over the take", drawn, "Mean over all lights. Good: below the line."))
    if "mean_full" in stats:
        drawn = _over_time([Series(time, stats["mean_full"], "fully lit frame ÷ drive"),
                                  Series(time, stats["mean_sum"], "sum of all lights", ORANGE)], "mean [full scale]")
        out.append(figure("Level of the subject", drawn, "Good: together and smooth; steps are flicker."))
    if "foreground" in stats:
        drawn = _over_time([Series(time, 100 * stats["foreground"], color=GREY)], "subject [% of region]")
        out.append(figure("Size of the subject", drawn, "Good: steady; a jump means that subject and background were "
                          "not told apart."))
    return out


def clock_figures(take: Take, comb: Comb | None) -> list[str]:
    """Phase, lock and tracking comb."""
    notes, out = take.notes, []
    if notes.get("phase_scores"):
        scores, best = notes["phase_scores"], int(notes["phase"])
        series = [Series(range(len(scores)), scores, style="stems", color=PALE),
                  Series([best], [scores[best]], f"phase {best}", GREEN, "points")]
        drawn = plot(series, x_label="offset of the cycle [frames]", y_label="correlation",
                     limits=[Limit(MIN_SCORE, "needed"), Limit(notes["phase_runner_up"], "next")])
        out.append(figure("Phase: which frame shows which light", drawn, "Good: one near 1, all others far below."))
    if notes.get("window_scores"):
        drawn = plot([Series(notes["window_frames"], notes["window_scores"])], x_label="frame", y_label="correlation",
                     limits=[Limit(MIN_SCORE, "needed")], y_range=(0, 1))
        out.append(figure("Lock: the phase looked up again along the take", drawn, "Good: level, above the line. "
                          "A fall shows where frames were lost."))
    if comb is not None and comb.tracking.any():
        percent, t = 100 * comb.means, comb.tracking
        series = [Series(comb.ticks[~t], percent[~t], "single lights", PALE, "stems"),
                  Series(comb.ticks[t], percent[t], "tracking frames", ORANGE, "stems")]
        drawn = plot(series, x_label="tick [frames]", y_label="mean of frame [% of full scale]", y_range=(0, None))
        contrast = notes.get("comb_contrast")
        told = f" Contrast {contrast:.2f}." if contrast is not None and np.isfinite(contrast) else ""
        out.append(figure("Tracking comb", drawn, "Good: tracking frames stand out, equally bright." + told))
    return out


def _over_time(series: list[Series], y_label: str, *limits: Limit) -> str:
    """A plot over the reference instants that starts at 0."""
    return plot(series, x_label="time [s]", y_label=y_label, limits=limits, y_range=(0, None))


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
