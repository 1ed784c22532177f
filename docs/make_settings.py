"""Write the table of settings into docs/capture.md, from the configuration model itself.

    python docs/make_settings.py
"""

from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from olatkit.capture.config import IngestConfig

PAGE = Path(__file__).parent / "capture.md"
BEGIN, END = "<!-- settings: made by docs/make_settings.py -->\n", "<!-- end of settings -->\n"


def settings_table(model: type[BaseModel] = IngestConfig) -> str:
    """A Markdown table of every setting: key, choices, default, meaning."""
    rows = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    return "\n".join(rows + _rows(model, "")) + "\n"


def _rows(model: type[BaseModel], prefix: str) -> list[str]:
    rows: list[str] = []
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            rows += _rows(kind, f"{prefix}{name}.")
        else:
            plain = isinstance(field.default, bool) or field.default is None
            default = str(field.default).lower() if plain else field.default
            rows.append(f"| `{prefix}{name}` | {_values(kind)} | `{default}` | {field.description} |")
    return rows


def _values(kind: Any) -> str:
    """What a setting can be, in words."""
    names = {float: "number", int: "whole number", bool: "true, false", str: "text", type(None): "none"}
    if kind in names:
        return names[kind]
    if hasattr(kind, "__metadata__"):  # a type with limits
        return _values(kind.__origin__)
    parts = get_args(kind)
    if get_origin(kind) is tuple:
        return f"[{', '.join(_values(part) for part in parts)}]"
    if get_origin(kind) is not None and all(isinstance(part, str) for part in parts):
        return ", ".join(parts)
    return ", ".join(_values(part) for part in parts)


def page_with_table(page: str) -> str:
    """The page with its table made anew."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{settings_table()}{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
