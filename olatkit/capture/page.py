"""The bare page of a report: style, figures, tables; no content."""

import html
from collections.abc import Sequence

STYLE = """
:root { color-scheme: light; --good: #2e8540; --look: #b35c00; --bad: #c62828; --line: #e3e7ea; --soft: #6b747d; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #1d2329; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 26px; margin: 0; font-weight: 650; }
h2 { font-size: 19px; margin: 40px 0 10px; padding-top: 14px; border-top: 1px solid var(--line); font-weight: 650; }
.sub, figcaption, .none { color: var(--soft); }
.verdict { margin: 18px 0; padding: 16px 20px; border-left: 8px solid; border-radius: 4px; }
.verdict strong { font-size: 21px; display: block; }
.verdict ul { margin: 6px 0 0; padding-left: 20px; }
.verdict.good { border-color: var(--good); background: #eef7f0; }
.verdict.look { border-color: var(--look); background: #fdf4e7; }
.verdict.bad { border-color: var(--bad); background: #fdeeee; }
.numbers { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1px; background: var(--line);
  border: 1px solid var(--line); border-radius: 4px; overflow: hidden; }
.numbers div { background: #fff; padding: 9px 14px; }
.numbers span { display: block; color: var(--soft); font-size: 12.5px; }
.numbers b { font-size: 16px; font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: 12.5px; }
th, td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.level { white-space: nowrap; font-weight: 650; }
td.level.good { color: var(--good); } td.level.look { color: var(--look); } td.level.bad { color: var(--bad); }
.row { display: grid; grid-template-columns: 1fr 1fr; gap: 8px 32px; }
figure { margin: 10px 0; break-inside: avoid; }
figure h3 { font-size: 14.5px; margin: 0 0 4px; font-weight: 600; }
figure img, figure svg { width: 100%; height: auto; display: block; }
figcaption { font-size: 13px; margin-top: 4px; }
.legend span { display: inline-block; margin-right: 16px; font-size: 13px; }
.legend i { display: inline-block; width: 12px; height: 12px; margin-right: 5px; vertical-align: -1px;
  border-radius: 2px; }
pre { background: #f7f8f9; padding: 12px 16px; font-size: 12.5px; overflow-x: auto; border-radius: 4px; }
@media (max-width: 800px) { .row { grid-template-columns: 1fr; } .numbers { grid-template-columns: 1fr 1fr; } }
@media print { main { max-width: none; padding: 0; } h2 { break-after: avoid; } body { font-size: 11pt; }
  .verdict, .legend i { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def page(title: str, content: str) -> str:
    """A whole HTML document without anything external."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body><main>{content}</main></body></html>\n"
    )


def section(title: str, *figures: str) -> str:
    """A titled part of the page; nothing if it has no content."""
    content = "\n".join(figure for figure in figures if figure)
    return f"<h2>{html.escape(title)}</h2>\n{content}\n" if content else ""


def rows(figures: Sequence[str]) -> str:
    """Figures two beside each other."""
    return f'<div class="row">{"".join(figures)}</div>' if figures else ""


def figure(title: str, content: str, caption: str) -> str:
    """A titled picture or plot with the line that says what good looks like."""
    return f"<figure><h3>{html.escape(title)}</h3>{content}<figcaption>{html.escape(caption)}</figcaption></figure>"


def image(uri: str, description: str) -> str:
    """An embedded picture."""
    return f'<img src="{uri}" alt="{html.escape(description, quote=True)}">'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain text."""
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def numbers(items: Sequence[tuple[str, str]]) -> str:
    """Key numbers in a grid, name above value; whole rows of four."""
    padded = [*items, *[("", "")] * (-len(items) % 4)]
    cells = "".join(f"<div><span>{html.escape(name)}</span><b>{html.escape(value)}</b></div>" for name, value in padded)
    return f'<div class="numbers">{cells}</div>'


def legend(items: Sequence[tuple[str, str]]) -> str:
    """Coloured squares with their meaning; (CSS colour, text)."""
    spans = "".join(f'<span><i style="background:{color}"></i>{html.escape(text)}</span>' for color, text in items)
    return f'<p class="legend">{spans}</p>'
