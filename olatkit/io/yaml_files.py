"""YAML from files and from the command line, read in one way."""

from pathlib import Path
from typing import Any

from olatkit.errors import ConfigError


def read_yaml(path: Path, *, advice: str = "") -> Any:
    """The content of a YAML file.

    Raises
    ------
    ConfigError
        The file cannot be read, to which ``advice`` is added, or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}{advice}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    return parse_yaml(text, f"{path}: not YAML")


def parse_yaml(text: str, complaint: str) -> Any:
    """The value of a piece of YAML; a ConfigError that begins with ``complaint`` if it is none."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{complaint}: {_where(error.problem_mark)}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{complaint}: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{complaint} that can be read: its brackets are nested too deep") from error


def _where(mark: Any) -> str:
    """Line and column of a place in YAML, as editors count them."""
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
