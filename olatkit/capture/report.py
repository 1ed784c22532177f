"""The report of a take: one self-contained page from which a person sees at a glance whether the take is good."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from olatkit.capture.checks import Check, LightLevels, check_take, worst
from olatkit.capture.page import figure, image, numbers, page, rows, section, table
from olatkit.capture.plots import data_uri
from olatkit.capture.report_plots import (
    Comb,
    clock_figures,
    dome_figure,
    level_figures,
    light_figures,
    motion_figures,
    quality_figure,
)
from olatkit.io.takes import Take

HEADLINES = {"good": "Good take", "look": "Usable take: look at this first", "bad": "Bad take: do not use it as it is"}
JPEG_QUALITY = 86


@dataclass(frozen=True, eq=False)
class Picture:
    """An sRGB picture (H, W, 3) uint8 with its title and the line below it."""

    image: np.ndarray
    title: str
    caption: str


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
    levels, index = extras.levels, extras.index
    settings = json.dumps(take.notes.get("config", {}), indent=1, sort_keys=True)
    parts = [
        _headline(take, title, checks),
        numbers(_key_numbers(take)),
        section("Relit", _picture(extras.relit)),
        section("What was checked", _check_table(checks)),
        section("All lights add up to the fully lit frame", _pictures(extras.closure)),
        section("Motion compensation", _pictures(extras.comparison), rows(motion_figures(take))),
        section("Lights", dome_figure(take, levels, index), rows(light_figures(take, levels, index))),
        section("Every light", _picture(extras.sheet)),
        section("Quality of every image", quality_figure(take)),
        section("Light over time", rows(level_figures(take))),
        section("Synchronisation", rows(clock_figures(take, extras.comb)), _frame_lists(take)),
        section("Settings", f"<pre>{html.escape(settings)}</pre>" if "config" in take.notes else ""),
    ]
    return page(title, "\n".join(parts))


def _headline(take: Take, title: str, checks: Sequence[Check]) -> str:
    """Title, one-line description and the verdict with its reasons."""
    level = worst(list(checks))
    problems = sorted((c for c in checks if c.level != "good"), key=lambda c: c.level != "bad")
    if problems:
        lines = [f"<b>{html.escape(c.name)}:</b> {html.escape(f'{c.found}. Good is: {c.limit}.')}" for c in problems]
        items = "".join(f"<li>{line}</li>" for line in lines)
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
        ("imagesets", f"{len(take)}" + (f" at {take.frame_rate_hz:g} per s" if take.frame_rate_hz > 0 else "")),
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
        + "".join(f"<td>{_cell(text)}</td>" for text in (c.name, c.found, c.limit, c.meaning)) + "</tr>"
        for c in checks
    )
    head = "".join(f"<th>{name}</th>" for name in ("", "what", "found", "good is", "why it matters"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(text: str) -> str:
    """Escaped text that does not break between a number and its percent sign."""
    return html.escape(text).replace(" %", "&nbsp;%")


def _frame_lists(take: Take) -> str:
    """Dropped, bad and skipped frames by number."""
    notes = take.notes
    if "frames" not in notes:
        return ""
    gaps = notes.get("unrecorded_gaps", [])
    bad, skipped = notes.get("bad_frames", []), notes.get("skipped_references", [])
    lines = [
        ("dropped by timestamps", str(notes.get("dropped", 0)), ""),
        ("lost without a trace", str(sum(n for _, n in gaps)), _shorten([f"{n} before frame {f}" for f, n in gaps])),
        ("flickering or bad", str(len(bad)), _shorten(bad)),
        ("imagesets skipped", str(len(skipped)), _shorten(skipped)),
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
