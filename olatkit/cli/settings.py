"""Settings of a command: a pydantic model read from YAML, with single values overridden on the command line."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from olatkit.errors import ConfigError
from olatkit.io.yaml_files import parse_yaml, read_yaml
from olatkit.wording import called

Model = TypeVar("Model", bound=BaseModel)


def read_config(model: type[Model], path: Path | None, overrides: tuple[str, ...]) -> Model:
    """Read settings from YAML and apply ``a.b=value`` overrides; unknown keys and bad values are a ConfigError."""
    data: dict[str, Any] = {}
    if path is not None:
        loaded = read_yaml(path)
        if loaded is not None and not isinstance(loaded, dict):
            raise ConfigError(
                f"{path}: holds {called(loaded)}, expected settings as YAML, a line 'KEY: VALUE' each; known are "
                f"{_keys(model, ())}"
            )
        data = loaded or {}
    for item in overrides:
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item!r}: expected KEY=VALUE")
        *groups, last = key.strip().split(".")
        place = data
        for group in groups:
            place = place.setdefault(group, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--set {item!r}: '{group}' is a value, not a group of settings")
        place[last] = parse_yaml(value, f"--set {item!r}: the value is not YAML")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        loc = error.errors()[0]["loc"]
        keys = [tuple(item.partition("=")[0].strip().split(".")) for item in overrides]
        by_hand = path is None or (bool(loc) and any(loc[: len(key)] == key for key in keys))
        raise ConfigError(_explain(model, error, "--set" if by_hand else str(path))) from error


def _explain(model: type[BaseModel], error: ValidationError, source: str) -> str:
    """The first problem of a validation, in one line, with the keys that exist."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{source}: unknown setting '{where}', expected one of {_keys(model, first['loc'][:-1])}"
    if first["type"] == "model_type":
        return f"{source}: '{where}' is a group of settings, expected one of {_keys(model, first['loc'])}"
    problem = first["msg"].removeprefix("Value error, ")
    if not where:  # a law between settings, whether they came by --set or by an option of their own
        return f"{'settings' if source == '--set' else source}: {problem}"
    return f"{source}: setting '{where}' is {first.get('input')!r}: {problem}"


def _keys(model: type[BaseModel], group: tuple[int | str, ...]) -> str:
    """The keys of a group of settings, in full, as they are given to --set."""
    place: Any = model
    for part in group:
        place = place.model_fields[str(part)].annotation
    ends = {name: ".*" if hasattr(field.annotation, "model_fields") else "" for name, field in place.model_fields.items()}
    return ", ".join(".".join([*map(str, group), name]) + end for name, end in ends.items())
