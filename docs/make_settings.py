"""Write the tables of settings into docs/capture.md, docs/shards.md and docs/training.md, from the models themselves.

    python docs/make_settings.py
"""

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from olatkit.capture.config import IngestConfig
from olatkit.jobs.shard_plan import ShardConfig
from olatkit.learn.config import TrainConfig

PAGES: dict[str, type[BaseModel]] = {"capture.md": IngestConfig, "shards.md": ShardConfig, "training.md": TrainConfig}
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
            rows.append(f"| `{prefix}{name}` | {_values(kind)} | `{_default(field.default)}` | {field.description} |")
            for part in get_args(kind):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    rows += _rows(part, f"{prefix}{name}[].")
    return rows


def _default(value: Any) -> str:
    """A default as one would write it in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        items = [", ".join(f"{key}: {_default(v)}" for key, v in item) for item in value]
        return f"[{', '.join(f'{{{item}}}' for item in items)}]"
    return "required" if value is PydanticUndefined else str(value)


def _values(kind: Any) -> str:
    """What a setting can be, in words."""
    names = {float: "number", int: "whole number", bool: "true, false", str: "text", type(None): "null"}
    if kind in names:
        return names[kind]
    if hasattr(kind, "__metadata__"):  # a type with limits
        return _values(kind.__origin__)
    parts = get_args(kind)
    if get_origin(kind) is tuple:
        return f"[{', '.join('...' if part is Ellipsis else _values(part) for part in parts)}]"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "settings"
    if get_origin(kind) is Literal:
        return ", ".join(map(str, parts))
    return ", ".join(_values(part) for part in parts)


def page_with_table(page: str, model: type[BaseModel] = IngestConfig) -> str:
    """The page with its table made anew."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{settings_table(model)}{END}{tail}"


if __name__ == "__main__":
    for name, config in PAGES.items():
        path = Path(__file__).parent / name
        path.write_text(page_with_table(path.read_text(encoding="utf-8"), config), encoding="utf-8")
