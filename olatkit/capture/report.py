"""The report of a take: one self-contained page from which a person sees at a glance whether the take is good."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from olatkit.capture.checks import Check, LightLevels, check_take, odd_lights, worst
from olatkit.capture.page import figure, image, legend, numbers, page, row, section, table
from olatkit.capture.plots import BLUE, GREEN, GREY, ORANGE, RED, Limit, Series, data_uri, dome, matrix, plot
from olatkit.imageset import (
    CLIPPED_CODES, CROSSTALK, INTERPOLATED, LOW_FLOW_CONFIDENCE, ONE_SIDED, QUALITY_NAMES, SATURATED,
)
from olatkit.io.takes import Take

HEADLINES = {"good": "Good take", "look": "Usable take: look at this first", "bad": "Bad take: do not use it as it is"}
JPEG_QUALITY = 86
# The most serious bit of an image gives its cell its colour.
BIT_COLORS = {
    INTERPOLATED: "#c62828", CROSSTALK: "#8e24aa", LOW_FLOW_CONFIDENCE: "#d9730d", SATURATED: "#f0b400",
    ONE_SIDED: "#5fa3d9", CLIPPED_CODES: "#9aa5ad",
}
FINE_COLOR = "#e6f0e8"


@dataclass(frozen=True, eq=False)
class Picture:
    """An sRGB picture (H, W, 3) uint8 with its title and the line below it."""

    image: np.ndarray
    title: str
    caption: str


@dataclass(frozen=True, eq=False)
class Comb:
    """Mean of some consecutive frames: ``ticks`` (N,), ``means`` (N,) of full scale, ``tracking`` bool (N,)."""

    ticks: np.ndarray
    means: np.ndarray
    tracking: np.ndarray


@dataclass(frozen=True, eq=False)
class ReportExtras:
    """What a report shows beside the numbers that lie in the take; anything may be missing.

    ``relit`` is a turntable strip, ``closure`` the fully lit picture, the sum of all lights and their difference,
    ``comparison`` pictures without and with motion compensation, ``sheet`` the contact sheet, ``levels`` the
    lights as measured on imageset ``index``, ``comb`` the brightness of some frames.
    """

    index: int = 0
    relit: Picture | None = None
    closure: Sequence[Picture] = ()
    comparison: Sequence[Picture] = ()
    sheet: Picture | None = None
    levels: LightLevels | None = None
    comb: Comb | None = None


def render_report(take: Take, *, title: str, extras: ReportExtras | None = None) -> str:
    """Make the report of a take.

    Parameters
    ----------
    take : Take
        Any take; sections whose numbers it does not have are left out.
    title : str
        Heading, usually the name of the file.
    extras : ReportExtras, optional
        Pictures and measurements made from the imagesets and the stream.

    Returns
    -------
    str
        One HTML document; plots are inline SVG, pictures are embedded.
    """
    extras = extras or ReportExtras()
    checks = check_take(take, extras.levels)
    parts = [
        _headline(take, title, checks),
        numbers(_key_numbers(take)),
        section("Relit", _picture(extras.relit)),
        section("What was checked", _check_table(checks)),
        section("All lights add up to the fully lit frame", _pictures(extras.closure)),
        section("Motion compensation", _pictures(extras.comparison), _motion_plots(take)),
        section("Lights", *_light_figures(take, extras)),
        section("Every light", _picture(extras.sheet)),
        section("Quality of every image", _quality_map(take)),
        section("Light over time", _light_plots(take)),
        section("Synchronisation", _clock_plots(take, extras.comb), _frame_lists(take)),
        section("Settings", f"<pre>{html.escape(json.dumps(take.notes.get('config', {}), indent=1, sort_keys=True))}</pre>"),
    ]
    return page(title, "\n".join(parts))


def _headline(take: Take, title: str, checks: Sequence[Check]) -> str:
    """Title, one-line description and the verdict with its reasons."""
    level = worst(list(checks))
    problems = sorted((c for c in checks if c.level != "good"), key=lambda c: c.level != "bad")
    if problems:
        items = "".join(
            f"<li><b>{html.escape(c.name)}:</b> {html.escape(c.found)}. Expected: {html.escape(c.limit)}.</li>" for c in problems
        )
        reasons = f"<ul>{items}</ul>{len(checks) - len(problems)} of {len(checks)} checks passed."
    else:
        reasons = f"All {len(checks)} checks passed."
    made = f"olatkit {take.notes['olatkit']}" if "olatkit" in take.notes else "olatkit"
    source = f" from {take.notes['source']}" if "source" in take.notes else ""
    return (
        f'<h1>{html.escape(title)}</h1><div class="sub">{html.escape(f"OLAT take{source}, {made}")}</div>'
        f'<div class="verdict {level}"><strong>{HEADLINES[level]}</strong>{reasons}</div>'
    )


def _key_numbers(take: Take) -> list[tuple[str, str]]:
    """The numbers that describe the take."""
    (height, width), (_, _, box_h, box_w) = take.shape, take.box
    dead = int((~np.asarray(take.rig.enabled)).sum())
    items = [
        ("imagesets", f"{len(take)} at {take.frame_rate_hz:g} per s"),
        ("lights", f"{len(take.rig)}" + (f", {dead} dead" if dead else "")),
        ("picture", f"{width} × {height} px"),
        ("stored region", f"{box_w} × {box_h} px"),
    ]
    if take.schedule is not None:
        s = take.schedule
        items.append(("cycle", f"{s.cycle} frames, {len(s.tracking_slots)} tracking"))
    if "frames" in take.notes:
        items.append(("frames", f"{take.notes['frames']} at {take.notes['source_frame_rate_hz']:g} per s"))
    items.append(("time", f"{take.times_s[0]:.3f} to {take.times_s[-1]:.3f} s"))
    items.append(("images without remark", f"{100 * (take.quality == 0).mean():.1f} %"))
    return items


def _check_table(checks: Sequence[Check]) -> str:
    words = {"good": "✓ good", "look": "● look", "bad": "✕ bad"}
    rows = "".join(
        f'<tr><td class="level {c.level}">{words[c.level]}</td>'
        + "".join(f"<td>{html.escape(text)}</td>" for text in (c.name, c.found, c.limit, c.meaning)) + "</tr>"
        for c in checks
    )
    head = "".join(f"<th>{name}</th>" for name in ("", "what", "found", "good is", "why it matters"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _motion_plots(take: Take) -> str:
    if take.schedule is None or "motion_px" not in take.stats:
        return ""
    time, width = take.times_s, take.box[3]
    limit = take.notes.get("config", {}).get("motion", {}).get("confidence", 0.05)
    speed = plot([Series(time, take.stats["motion_px"])], x_label="time [s]", y_label="motion [px per 60 frames]",
                 limits=[Limit(0.04 * width, "4 % of the width")], y_range=(0, None))
    trust = plot([Series(time, 100 * take.stats["disagreement"])], x_label="time [s]", y_label="disagreement [% of subject]",
                 limits=[Limit(100 * limit, f"{100 * limit:g} %")], y_range=(0, None))
    return row(
        figure("Motion of the subject", speed, "95th percentile over the subject. Good: below the line, where motion is followed to a fraction of a pixel."),
        figure("Does the tracking hold?", trust, "Share of the subject that still differs when two tracking frames are brought together. Good: far below the line."),
    )


def _light_figures(take: Take, extras: ReportExtras) -> list[str]:
    levels, rig = extras.levels, take.rig
    gains, enabled = np.asarray(rig.gains), np.asarray(rig.enabled)
    lights = np.arange(len(rig))
    out = []
    if levels is not None:
        odd = odd_lights(take, levels)
        note = f" Red rings: {', '.join(map(str, odd))} do not look as their positions say." if odd else ""
        out.append(figure(
            f"Brightness of each light on the subject, imageset {extras.index}",
            dome(rig.directions, levels.mean, enabled=enabled, marked=odd, unit="mean radiance"),
            "Numbers are lights; 1 is full scale. Good: smooth, brightest in front; a swapped or dead light breaks the pattern; "
            "crossed out are lights that the rig switches off." + note,
        ))
    figures = []
    if levels is not None:
        saturated = plot([Series(lights, 100 * levels.saturated, style="stems", color=ORANGE)], x_label="light",
                         y_label="at full scale [% of subject]", limits=[Limit(1, "1 %: flagged")], y_range=(0, None))
        figures.append(figure("Saturation of each light", saturated,
                              f"Imageset {extras.index}. Good: nothing above the line; grazing lights behind the subject go first."))
    if (gains == 1).all():
        figures.append(figure("Gain of each light", '<p class="none">All gains are 1: nothing was divided out.</p>',
                              "Calibrate the lamps to even out their brightness and colour."))
    else:
        colors = ((RED, "red"), (GREEN, "green"), (BLUE, "blue"))
        drawn = plot([Series(lights, gains[:, c], name, color, "points") for c, (color, name) in enumerate(colors)],
                     x_label="light", y_label="gain [relative to mean]")
        figures.append(figure("Gain of each light", drawn, "Divided out once, at ingest. Good: within about ±20 %; a lone outlier is a failing lamp."))
    return [*out, row(*figures)]


def _quality_map(take: Take) -> str:
    """Imagesets x lights, coloured by the most serious bit; with counts."""
    colors = np.full((*take.quality.shape, 3), _rgb(FINE_COLOR), np.uint8)
    for bit, color in reversed(BIT_COLORS.items()):
        colors[(take.quality & bit) > 0] = _rgb(color)
    total = take.quality.size
    items = [(FINE_COLOR, f"nothing to report: {int((take.quality == 0).sum())} of {total}")]
    for bit, color in BIT_COLORS.items():
        count = int(((take.quality & bit) > 0).sum())
        if count:
            items.append((color, f"{QUALITY_NAMES[bit]}: {count}"))
    height = int(np.clip(90 + 12 * len(take), 130, 480))
    drawn = matrix(colors, x_label="light", y_label="imageset", size=(1100, height))
    return legend(items) + figure("", drawn, "Good: pale. One-sided images at the first and last imagesets are unavoidable; "
                                  "columns point at a lamp, rows at a moment of the take.")


def _light_plots(take: Take) -> str:
    time, figures = take.times_s, []
    if "closure" in take.stats:
        drawn = plot([Series(time, 100 * take.stats["closure"])], x_label="time [s]", y_label="closure error [%]",
                     limits=[Limit(3, "+3 %"), Limit(-3, "−3 %")])
        figures.append(figure("Closure: sum of lights against the fully lit frame", drawn,
                              "Good: flat and between the lines. A constant offset is drive or black level, a drift is ambient light or lamps warming up."))
    if "saturated" in take.stats:
        drawn = plot([Series(time, 100 * take.stats["saturated"], color=ORANGE)], x_label="time [s]",
                     y_label="saturated [% of subject]", limits=[Limit(0.5, "0.5 %")], y_range=(0, None))
        figures.append(figure("Saturation over the take", drawn, "Mean over all lights. Good: below the line."))
    if "mean_full" in take.stats:
        drawn = plot([Series(time, take.stats["mean_full"], "fully lit frame ÷ drive"),
                      Series(time, take.stats["mean_sum"], "sum of all lights", ORANGE)],
                     x_label="time [s]", y_label="mean radiance [full scale]", y_range=(0, None))
        figures.append(figure("Level of the subject", drawn, "Good: both together and smooth; steps are flicker or a door that opened."))
    if "foreground" in take.stats:
        drawn = plot([Series(time, 100 * take.stats["foreground"], color=GREY)], x_label="time [s]",
                     y_label="subject [% of region]", y_range=(0, None))
        figures.append(figure("Size of the subject", drawn, "Good: steady; a jump means that the subject was not told from the background."))
    return "".join(row(*figures[i : i + 2]) for i in range(0, len(figures), 2))


def _clock_plots(take: Take, comb: Comb | None) -> str:
    notes, figures = take.notes, []
    scores = notes.get("phase_scores")
    if scores:
        best, runner_up = int(notes["phase"]), notes["phase_runner_up"]
        drawn = plot([Series(range(len(scores)), scores, style="stems", color="#9db8cc"), Series([best], [scores[best]], f"phase {best}", GREEN, "points")],
                     x_label="offset of the cycle [frames]", y_label="correlation", limits=[Limit(0.7, "needed"), Limit(runner_up, "next")])
        figures.append(figure("Phase: which frame shows which light", drawn,
                              "Good: one offset near 1, all others far below (the dashed line marks the next candidate)."))
    windows = notes.get("window_scores")
    if windows:
        drawn = plot([Series(notes["window_frames"], windows)], x_label="frame", y_label="correlation",
                     limits=[Limit(0.7, "needed")], y_range=(0, 1))
        figures.append(figure("Lock: the phase looked up again along the take", drawn, "Good: level, above the line. A fall shows where frames were lost."))
    if comb is not None and comb.tracking.any():
        other = ~comb.tracking
        drawn = plot([Series(comb.ticks[other], 100 * comb.means[other], "single lights", "#9db8cc", "stems"),
                      Series(comb.ticks[comb.tracking], 100 * comb.means[comb.tracking], "tracking frames", ORANGE, "stems")],
                     x_label="tick [frames]", y_label="mean of frame [% of full scale]", y_range=(0, None))
        contrast = notes.get("comb_contrast")
        told = f" Contrast {contrast:.2f}." if contrast is not None and np.isfinite(contrast) else ""
        figures.append(figure("Tracking comb", drawn, "Good: the tracking frames stand out, evenly spaced and equally bright." + told))
    return "".join(row(*figures[i : i + 2]) for i in range(0, len(figures), 2))


def _frame_lists(take: Take) -> str:
    """Dropped, bad and skipped frames by number."""
    notes = take.notes
    if "frames" not in notes:
        return ""
    gaps = [f"{n} before frame {f}" for f, n in notes.get("unrecorded_gaps", [])]
    lines = [
        ("dropped by timestamps", str(notes.get("dropped", 0)), ""),
        ("lost without a trace", str(sum(n for _, n in notes.get("unrecorded_gaps", []))), _shorten(gaps)),
        ("flickering or bad", str(len(notes.get("bad_frames", []))), _shorten(notes.get("bad_frames", []))),
        ("imagesets skipped", str(len(notes.get("skipped_references", []))), _shorten(notes.get("skipped_references", []))),
    ]
    return table(("frames", "count", "which (frame; tick for imagesets)"), lines)


def _shorten(items: Sequence[object], most: int = 40) -> str:
    return ", ".join(map(str, items[:most])) + (f" … {len(items) - most} more" if len(items) > most else "")


def _picture(picture: Picture | None) -> str:
    if picture is None:
        return ""
    return figure(picture.title, image(data_uri(picture.image, quality=JPEG_QUALITY), picture.title), picture.caption)


def _pictures(pictures: Sequence[Picture]) -> str:
    """Pictures of one height beside each other."""
    if not pictures:
        return ""
    cells = "".join(f'<div style="flex:{p.image.shape[1]}">{_picture(p)}</div>' for p in pictures)
    return f'<div style="display:flex;gap:14px">{cells}</div>'


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
