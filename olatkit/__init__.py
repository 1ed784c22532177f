"""olatkit: from a raw high-speed light-stage stream to OLAT imagesets, relit video and a relighting network.

The names below are all that a script needs; they are loaded on first use, so ``import olatkit`` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "CaptureError": "olatkit.errors",
    "ConfigError": "olatkit.errors",
    "EnvironmentMap": "olatkit.envmap",
    "FormatError": "olatkit.errors",
    "FrameStream": "olatkit.io.streams",
    "Imageset": "olatkit.imageset",
    "LightRig": "olatkit.rig",
    "LightingSchedule": "olatkit.schedule",
    "OlatkitError": "olatkit.errors",
    "light_weights": "olatkit.render.weights",
    "open_stream": "olatkit.io.sources",
    "open_take": "olatkit.io.takes",
    "read_environment": "olatkit.io.environments",
    "read_rig": "olatkit.io.documents",
    "read_schedule": "olatkit.io.documents",
    "relight": "olatkit.render.relight",
}

__all__ = [
    "CaptureError",
    "ConfigError",
    "EnvironmentMap",
    "FormatError",
    "FrameStream",
    "Imageset",
    "LightRig",
    "LightingSchedule",
    "OlatkitError",
    "light_weights",
    "open_stream",
    "open_take",
    "read_environment",
    "read_rig",
    "read_schedule",
    "relight",
]

if TYPE_CHECKING:
    from olatkit.envmap import EnvironmentMap
    from olatkit.errors import CaptureError, ConfigError, FormatError, OlatkitError
    from olatkit.imageset import Imageset
    from olatkit.io.documents import read_rig, read_schedule
    from olatkit.io.environments import read_environment
    from olatkit.io.sources import open_stream
    from olatkit.io.streams import FrameStream
    from olatkit.io.takes import open_take
    from olatkit.render.relight import relight
    from olatkit.render.weights import light_weights
    from olatkit.rig import LightRig
    from olatkit.schedule import LightingSchedule


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'olatkit' has no attribute '{name}'")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
