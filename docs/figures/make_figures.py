"""Draw the figures of the documentation as SVG files beside this script.

    python docs/figures/make_figures.py

Positions come from the package, so a figure cannot disagree with the code that it explains.
"""

from pathlib import Path

import numpy as np

from olatkit.capture.windows import observe_slot, reference_ticks
from olatkit.geometry import direction_to_uv, latlong_directions, rotation_y
from olatkit.rig import default_rig
from olatkit.schedule import default_114

INK, FAINT, WARM, COOL, PAPER = "#222", "#bbb", "#d9480f", "#1864ab", "#ffffff"


def svg(width: float, height: float, parts: list[str]) -> str:
    """A drawing on white paper, so that it can be read on dark pages too."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        'font-family="sans-serif" font-size="13">'
    )
    arrow = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{color}"/></marker>'
        for name, color in (("ink", INK), ("warm", WARM), ("cool", COOL))
    )
    paper = f'<rect width="{width:g}" height="{height:g}" fill="{PAPER}"/>'
    return "\n".join([head, f"<defs>{arrow}</defs>", paper, *parts, "</svg>", ""])


def line(x0: float, y0: float, x1: float, y1: float, color: str = INK, *, arrow: str = "", width: float = 1.2) -> str:
    """A straight line, with an arrow head if ``arrow`` names one."""
    ends = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"'
    head = f' marker-end="url(#{arrow})"' if arrow else ""
    return f'<line {ends} stroke="{color}" stroke-width="{width}"{head}/>'


def text(x: float, y: float, words: str, *, anchor: str = "middle", color: str = INK, size: int = 13) -> str:
    """A line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-size="{size}">{words}</text>'


def dot(x: float, y: float, radius: float, color: str) -> str:
    """A filled circle."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{color}"/>'


def box(x: float, y: float, w: float, h: float, *, fill: str = "none", stroke: str = INK) -> str:
    """A rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{fill}" stroke="{stroke}"/>'


def latlong() -> str:
    """Where the axes and the lights of the default rig lie in a lat-long map."""
    left, top, width, height = 60, 40, 560, 280
    parts = [line(left + width * k / 32, top, left + width * k / 32, top + height, "#eee") for k in range(33)]
    parts += [line(left, top + height * k / 16, left + width, top + height * k / 16, "#eee") for k in range(17)]
    for x, y in zip(*direction_to_uv(default_rig().directions), strict=True):
        parts.append(dot(left + width * x, top + height * y, 2.2, FAINT))
    parts.append(box(left, top, width, height))
    axes = {"+Z": (0, 0, 1), "−X": (-1, 0, 0), "−Z": (0, 0, -1), "+X": (1, 0, 0)}
    notes = {"+Z": "camera side", "−X": "picture's left", "−Z": "behind the subject", "+X": "picture's right"}
    for name, direction in axes.items():
        u, v = (float(a) for a in direction_to_uv(np.array(direction)))
        for seam in (u, 1.0) if name == "+Z" else (u,):
            x, y = left + width * seam, top + height * v
            parts += [dot(x, y, 4, COOL), text(x, y - 8, name, color=COOL), text(x, y + 18, notes[name], size=11)]
    middle = left + width / 2
    parts.append(text(middle, top - 8, "+Y: whole top edge, v = 0"))
    parts.append(text(middle, top + height + 34, "−Y: whole bottom edge, v = 1"))
    for quarter, label in enumerate("0¼½¾1"):
        parts.append(text(left + width * quarter / 4, top + height + 16, f"u = {label}", size=11))
    d = latlong_directions(16, 32)[8, 24]
    u, v = (float(a) for a in direction_to_uv(d))
    x, y = left + width * u, top + height * v
    parts += [dot(x, y, 3, WARM), line(x, y, x + 34, y + 56, WARM)]
    words = f"row 8, column 24 of 16 x 32: ({d[0]:.4f}, {d[1]:.4f}, {d[2]:.4f})"
    parts.append(text(x - 20, y + 70, words, color=WARM, size=11))
    return svg(680, 370, parts)


def axes() -> str:
    """The stage from above: axes, camera, and the sense of a yaw."""
    cx, cy, reach = 200, 180, 130
    parts = [f'<circle cx="{cx}" cy="{cy}" r="{reach}" fill="none" stroke="{FAINT}"/>']
    for d in default_rig().directions:
        parts.append(dot(cx + reach * d[0], cy + reach * d[2], 2.2, FAINT))
    parts += [f'<ellipse cx="{cx}" cy="{cy}" rx="20" ry="25" fill="#eee" stroke="{INK}"/>', dot(cx, cy + 26, 4, INK)]
    parts += [line(cx, cy, cx + 100, cy, COOL, arrow="cool"), text(cx + 112, cy + 5, "+X", color=COOL)]
    parts += [line(cx, cy, cx, cy + 100, COOL, arrow="cool"), text(cx + 16, cy + 100, "+Z", color=COOL)]
    parts += [dot(cx, cy, 4, COOL), text(cx - 26, cy - 30, "+Y towards you", color=COOL)]
    parts += [box(cx - 14, cy + reach + 12, 28, 18, fill="#ddd"), text(cx + 56, cy + reach + 26, "camera")]
    arc = [rotation_y(a) @ np.array([0, 0, 1.0]) for a in np.linspace(8, 80, 30)]
    points = " ".join(f"{cx + 75 * d[0]:.1f},{cy + 75 * d[2]:.1f}" for d in arc)
    parts += [f'<polyline points="{points}" fill="none" stroke="{WARM}" stroke-width="1.5" marker-end="url(#warm)"/>']
    parts += [text(cx + 88, cy + 74, "yaw +90°", color=WARM, anchor="start")]
    parts += [text(cx, 22, "the stage from above; the camera looks along −Z")]
    return svg(400, 360, parts)


def flow() -> str:
    """Flow is stored on the reference's grid and says where its pixel is found in the other image."""
    parts, size, cell = [], 150, 25
    for x0, name in ((40, "reference"), (290, "other image")):
        parts += [line(x0 + cell * k, 50, x0 + cell * k, 50 + size, "#e5e5e5") for k in range(7)]
        parts += [line(x0, 50 + cell * k, x0 + size, 50 + cell * k, "#e5e5e5") for k in range(7)]
        parts += [box(x0, 50, size, size), text(x0 + size / 2, 40, name)]
    at = (40 + 2.5 * cell, 50 + 2.5 * cell)
    found = (290 + 4.5 * cell, 50 + 3.5 * cell)
    same = (290 + 2.5 * cell, 50 + 2.5 * cell)
    parts += [dot(*at, 6, COOL), text(at[0], at[1] - 10, "x = (2, 2)", color=COOL, size=11)]
    parts += [dot(*found, 6, COOL), text(found[0] - 4, found[1] + 20, "found at (4, 3)", color=COOL, size=11)]
    parts += [f'<circle cx="{same[0]}" cy="{same[1]}" r="5" fill="none" stroke="{WARM}"/>']
    parts += [line(*same, found[0] - 6, found[1] - 3, WARM, arrow="warm", width=1.8)]
    parts += [text(240, 230, "flow[2, 2] = (dx, dy) = (+2, +1), stored on the reference's grid", color=WARM)]
    parts += [text(240, 250, "reference(x) = other(x + flow(x)); x to the right, y down", size=12)]
    return svg(480, 265, parts)


def windows() -> str:
    """Overlapping windows of one cycle, and the two looks at one light that make its image."""
    schedule, scale, left = default_114(), 2.6, 30
    cycle, middle = schedule.cycle, left + 120 * scale

    def at(frame: int) -> float:
        return left + frame * scale

    parts = [text(middle, 20, "frames at 1000 fps: a tracking frame (blue) every 20, single lights between them")]
    for n in range(241):
        tracking = n % cycle in schedule.tracking_slots
        color, top, thick = (COOL, 38, 2) if tracking else (FAINT, 48, 1)
        parts.append(line(at(n), top, at(n), 62, color, width=thick))
    parts += [text(at(n), 78, str(n), size=11) for n in range(0, 241, 40)]
    references = [int(r) for r in reference_ticks(0, 240, schedule, 0)][:3]
    for i, r in enumerate(references):
        y = 100 + 22 * i
        parts += [line(at(r - cycle // 2), y, at(r + cycle // 2), y, width=4), dot(at(r), y, 5, WARM)]
        parts.append(text(at(r + cycle // 2) + 8, y + 4, f"imageset {i}: r = {r}", anchor="start", size=12))
    r = references[1]
    seen = observe_slot((r + 30) % cycle, r, cycle, 0, range(241))
    assert seen.after is not None
    assert seen.before is not None
    parts += [line(at(r), 198, at(r), 222, width=2), text(at(r), 190, f"imageset 1, r = {r}", size=12)]
    for tick, weight in ((seen.before, 1 - seen.weight_after), (seen.after, seen.weight_after)):
        parts.append(line(at(r + tick), 205, at(r + tick), 222, WARM, width=3))
        parts.append(text(at(r + tick), 238, f"{tick:+d} frames: weight {weight:.2f}", color=WARM, size=12))
    words = "a light is seen once before and once after the instant; both looks are warped to it and blended"
    parts.append(text(middle, 262, words, size=12))
    return svg(820, 275, parts)


if __name__ == "__main__":
    folder = Path(__file__).parent
    for draw in (latlong, axes, flow, windows):
        (folder / f"{draw.__name__}.svg").write_text(draw(), encoding="utf-8")
        print(folder / f"{draw.__name__}.svg")
