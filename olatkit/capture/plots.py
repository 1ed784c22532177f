"""Small clean plots as inline SVG: axes with units, dashed limits, nothing from outside the page."""

import base64
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

INK, GREY, FAINT = "#1d2329", "#6b747d", "#e3e7ea"
BLUE, ORANGE, GREEN, RED, PALE = "#1f6fb2", "#d9730d", "#2e8540", "#c62828", "#9db8cc"
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 42  # room around the plotted area, pixels
# From dark to bright, even in lightness and readable without colour vision.
_RAMP = np.array([[40, 20, 80], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], float)


@dataclass(frozen=True, eq=False)
class Series:
    """Numbers to draw: ``x`` and ``y`` (N,), values that are not finite are left out.

    ``style`` is 'line' (with points if there are few), 'stems' or 'points'; a ``label`` goes into the legend.
    """

    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    label: str = ""
    color: str = BLUE
    style: str = "line"


@dataclass(frozen=True)
class Limit:
    """A dashed horizontal line: from where, or up to where, a value is as it should be."""

    value: float
    label: str


def plot(
    series: Sequence[Series], *, x_label: str, y_label: str, limits: Sequence[Limit] = (),
    y_range: tuple[float | None, float | None] = (None, None), size: tuple[int, int] = (540, 240),
) -> str:
    """Draw series over common axes.

    Parameters
    ----------
    series : sequence of Series
        At least one finite value in all.
    x_label, y_label : str
        Quantity and unit.
    limits : sequence of Limit
        Dashed lines; the axis reaches them.
    y_range : tuple
        Fixed lower and upper end, None for the data's.
    size : tuple of int
        Width and height in pixels.

    Returns
    -------
    str
        One ``<svg>`` element.
    """
    cleaned = [(s, *_finite(s)) for s in series]
    all_x = np.concatenate([x for _, x, _ in cleaned])
    all_y = np.concatenate([*(y for _, _, y in cleaned), [limit.value for limit in limits]])
    if not all_x.size:
        return '<p class="none">no values</p>'
    low, high = y_range
    named = [s for s in series if s.label]
    top = _TOP + 16 * bool(named)
    axes = _Axes(_spread(all_x, 0.02), _spread(all_y, 0.06, low, high), size, top)
    parts = [axes.grid(x_label, y_label)]
    for limit in limits:
        y, end = axes.y(limit.value), size[0] - _RIGHT
        parts.append(_line(_LEFT, y, end, y, RED, dashed=True))
        parts.append(_text(end - 3, y - 4 if y > 30 else y + 13, limit.label, anchor="end", color=RED, size=11))
    parts += [_draw(axes, s, x, y) for s, x, y in cleaned]
    parts.append(_legend(named))
    return svg("".join(parts), size)


def matrix(colors: np.ndarray, *, x_label: str, y_label: str, size: tuple[int, int] = (1100, 320)) -> str:
    """Draw an array of coloured cells, ``colors`` (rows, columns, 3) uint8, row 0 at the bottom, indices as axes."""
    rows, columns = colors.shape[:2]
    axes = _Axes((-0.5, columns - 0.5), (-0.5, rows - 0.5), size)
    width, height = size[0] - _LEFT - _RIGHT, size[1] - _TOP - _BOTTOM
    picture = (
        f'<image x="{_LEFT}" y="{_TOP}" width="{width}" height="{height}" preserveAspectRatio="none" '
        f'style="image-rendering:pixelated" href="{data_uri(np.ascontiguousarray(colors[::-1]))}"/>'
    )
    return svg(picture + axes.grid(x_label, y_label, lines=False, whole=True), size)


def dome(
    directions: np.ndarray, values: np.ndarray, *, enabled: np.ndarray, marked: Sequence[int] = (), unit: str = ""
) -> str:
    """Draw one value per light on the front and the back half of the sphere, on a logarithmic colour scale.

    Parameters
    ----------
    directions : ndarray, shape (L, 3)
        Unit vectors; +Z to the camera.
    values : ndarray, shape (L,)
        What is shown; the scale spans the brightest 2.5 decades.
    enabled : ndarray of bool, shape (L,)
        False is drawn crossed out.
    marked : sequence of int
        Lights with a red ring.
    unit : str
        Written at the scale.

    Notes
    -----
    Lambert's azimuthal projection: equal areas of the sphere are equal areas of the page. Both halves are seen from
    the camera, so that right is right in both.
    """
    radius, width, height = 190.0, 1000, 450
    top = max(float(values.max(initial=0)), 1e-12)
    dot = min(radius * 0.72 / math.sqrt(max(len(values), 1)), 22.0)
    parts = []
    halves = ((True, 210.0, "front: on the camera's side"), (False, 650.0, "back: behind the subject"))
    for front, center, title in halves:
        parts.append(f'<circle cx="{center}" cy="222" r="{radius + dot}" fill="#f7f8f9" stroke="{FAINT}"/>')
        parts.append(_text(center, 446, title, anchor="middle"))
        for light in np.flatnonzero((directions[:, 2] >= 0) == front):
            x, y, z = directions[light]
            # |(x, y)| is the sine of the angle from the axis, the projection sqrt(2) times that of half the angle.
            scale = radius / math.sqrt(1 + abs(z))
            place = center + scale * x, 222 - scale * y
            share = float(values[light]) / top if enabled[light] else None
            parts.append(_lamp(place, dot, int(light), share, light in marked))
    parts.append(_scale(900, 60, 300, top, unit))
    return svg("".join(parts), (width, height))


def ramp(share: np.ndarray | float) -> np.ndarray:
    """Colour of values 0 ... 1, shape (..., 3) uint8, dark to bright."""
    at = np.clip(np.asarray(share, float), 0, 1) * (len(_RAMP) - 1)
    channels = [np.interp(at, np.arange(len(_RAMP)), _RAMP[:, c]) for c in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def data_uri(image: np.ndarray, *, quality: int | None = None) -> str:
    """RGB uint8 (H, W, 3) as a data URI: PNG, or JPEG of the given ``quality`` (0 ... 100)."""
    import cv2

    bgr = np.ascontiguousarray(image[..., ::-1])
    kind, options = ("png", [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if quality is not None:
        kind, options = ("jpeg", [cv2.IMWRITE_JPEG_QUALITY, quality])
    data = cv2.imencode(f".{kind}", bgr, options)[1].tobytes()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def svg(content: str, size: tuple[int, int]) -> str:
    """Wrap drawn parts; the picture scales with the page."""
    return (
        f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" xmlns="http://www.w3.org/2000/svg" '
        f'font-size="12" fill="{INK}">{content}</svg>'
    )


def nice_ticks(low: float, high: float, count: int = 6, *, whole: bool = False) -> np.ndarray:
    """About ``count`` round numbers inside [low, high]: multiples of 1, 2 or 5 times a power of ten."""
    raw = max((high - low) / count, 1e-30)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    step = max(step, 1.0) if whole else step
    first = math.ceil(low / step - 1e-9)
    return np.arange(first, math.floor(high / step + 1e-9) + 1) * step


@dataclass(frozen=True)
class _Axes:
    """Maps data to pixels."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    size: tuple[int, int]
    top: int = _TOP

    def x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + (value - low) / (high - low) * (self.size[0] - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.size[1] - _BOTTOM - (value - low) / (high - low) * (self.size[1] - self.top - _BOTTOM)

    def grid(self, x_label: str, y_label: str, *, lines: bool = True, whole: bool = False) -> str:
        """Ticks, grid lines and labels."""
        width, height = self.size
        bottom = height - _BOTTOM
        parts = []
        for value in nice_ticks(*self.y_range, 5, whole=whole):
            y = self.y(value)
            if lines:
                parts.append(_line(_LEFT, y, width - _RIGHT, y, FAINT))
            parts.append(_text(_LEFT - 7, y + 4, _number(value), anchor="end", color=GREY))
        for value in nice_ticks(*self.x_range, 8, whole=whole):
            x = self.x(value)
            parts.append(_line(x, bottom, x, bottom + 4, GREY))
            parts.append(_text(x, bottom + 17, _number(value), anchor="middle", color=GREY))
        parts.append(_line(_LEFT, bottom, width - _RIGHT, bottom, GREY))
        parts.append(_text((_LEFT + width - _RIGHT) / 2, height - 6, x_label, anchor="middle"))
        middle = (self.top + bottom) / 2
        turned = f'transform="rotate(-90 14 {middle})" text-anchor="middle"'
        parts.append(f'<text x="14" y="{middle}" {turned}>{html.escape(y_label)}</text>')
        return "".join(parts)


def _finite(series: Series) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(series.x, float).ravel(), np.asarray(series.y, float).ravel()
    keep = np.isfinite(x) & np.isfinite(y)
    return x[keep], y[keep]


def _spread(
    values: np.ndarray, margin: float, fixed_low: float | None = None, fixed_high: float | None = None
) -> tuple[float, float]:
    """Range of the values with some air at the ends that are not fixed; never empty."""
    low = float(values.min()) if fixed_low is None else fixed_low
    high = float(values.max()) if fixed_high is None else max(fixed_high, float(values.max()))
    flat = high - low < 1e-9 * max(abs(low), abs(high), 1e-3)
    pad = 0.5 * max(abs(high), 1e-2) if flat else margin * (high - low)
    return low - pad * (fixed_low is None), high + pad * (fixed_high is None or flat)


def _draw(axes: _Axes, series: Series, x: np.ndarray, y: np.ndarray) -> str:
    px, py = [axes.x(v) for v in x], [axes.y(v) for v in y]
    if series.style == "stems":
        base = axes.y(max(0.0, axes.y_range[0]))
        path = "".join(f"M{a:.1f} {base:.1f}V{b:.1f}" for a, b in zip(px, py, strict=True))
        return f'<path d="{path}" stroke="{series.color}" stroke-width="2" fill="none"/>'
    few = series.style == "points" or len(px) <= 60
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in zip(px, py, strict=True)) if few else ""
    line = "" if series.style == "points" else "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(px, py, strict=True))
    drawn = f'<path d="{line}" stroke="{series.color}" stroke-width="1.8" fill="none"/>' if line else ""
    return drawn + f'<g fill="{series.color}">{dots}</g>'


def _legend(named: Sequence[Series]) -> str:
    """Names in their colours above the plotted area."""
    parts, x = [], float(_LEFT)
    for series in named:
        parts.append(f'<rect x="{x:.0f}" y="{_TOP - 2}" width="12" height="4" fill="{series.color}"/>')
        parts.append(_text(x + 17, _TOP + 4, series.label, size=11))
        x += 34 + 6.2 * len(series.label)
    return "".join(parts)


def _lamp(place: tuple[float, float], dot: float, light: int, share: float | None, marked: bool) -> str:
    """One light of the dome map with its number; None is a dead one."""
    x, y = place
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{dot:.1f}"'
    if share is None:
        arm = dot * 0.7
        cross = _line(x - arm, y - arm, x + arm, y + arm, RED) + _line(x - arm, y + arm, x + arm, y - arm, RED)
        number = _text(x, y + dot * 0.3, str(light), anchor="middle", color=GREY, size=dot * 0.78)
        return f'{circle} fill="#fff" stroke="{RED}"/>{cross}{number}'
    level = 1 + math.log10(max(share, 1e-9)) / 2.5
    red, green, blue = ramp(level)
    ink = "#fff" if 0.3 * red + 0.6 * green + 0.1 * blue < 130 else "#000"
    ring = f'stroke="{RED}" stroke-width="3"' if marked else 'stroke="#fff" stroke-width="0.5"'
    return (
        f'{circle} fill="rgb({red},{green},{blue})" {ring}/>'
        + _text(x, y + dot * 0.3, str(light), anchor="middle", color=ink, size=dot * 0.78)
    )


def _scale(x: float, y: float, height: float, top: float, unit: str) -> str:
    """Colour scale of the dome map, logarithmic over 2.5 decades."""
    steps = 60
    parts = []
    for i in range(steps):
        red, green, blue = ramp(1 - (i + 0.5) / steps)
        place = f'x="{x}" y="{y + i * height / steps:.1f}" width="16" height="{height / steps + 0.6:.1f}"'
        parts.append(f'<rect {place} fill="rgb({red},{green},{blue})"/>')
    for decades in (0, 0.5, 1, 1.5, 2, 2.5):
        parts.append(_text(x + 22, y + decades / 2.5 * height + 4, f"{top / 10**decades:.2g}", color=GREY))
    parts.append(_text(x - 10, y - 16, unit))
    return "".join(parts)


def _number(value: float) -> str:
    return f"{value:.6g}"


def _line(x0: float, y0: float, x1: float, y1: float, color: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="{color}"{dash}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", color: str = INK, size: float = 12) -> str:
    style = f'text-anchor="{anchor}" fill="{color}" font-size="{size:.4g}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{html.escape(text)}</text>'
