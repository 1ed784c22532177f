"""olatkit: from a raw high-speed light-stage stream to OLAT imagesets, relit video and a relighting network.

The names below are all that a script needs; they are loaded on first use, so ``import olatkit`` is quick.
"""

import os
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
    "LightingBank": "olatkit.io.banks",
    "LightingSchedule": "olatkit.schedule",
    "OlatkitError": "olatkit.errors",
    "Relighter": "olatkit.realtime.relighter",
    "ShardDataset": "olatkit.learn.dataset",
    "ShardLoader": "olatkit.learn.loader",
    "light_weights": "olatkit.render.weights",
    "open_stream": "olatkit.io.sources",
    "open_take": "olatkit.io.takes",
    "read_bank": "olatkit.io.banks",
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
    "LightingBank",
    "LightingSchedule",
    "OlatkitError",
    "Relighter",
    "ShardDataset",
    "ShardLoader",
    "light_weights",
    "open_stream",
    "open_take",
    "read_bank",
    "read_environment",
    "read_rig",
    "read_schedule",
    "relight",
]

if TYPE_CHECKING:
    from olatkit.envmap import EnvironmentMap
    from olatkit.errors import CaptureError, ConfigError, FormatError, OlatkitError
    from olatkit.imageset import Imageset
    from olatkit.io.banks import LightingBank, read_bank
    from olatkit.io.documents import read_rig, read_schedule
    from olatkit.io.environments import read_environment
    from olatkit.io.sources import open_stream
    from olatkit.io.streams import FrameStream
    from olatkit.io.takes import open_take
    from olatkit.learn.dataset import ShardDataset
    from olatkit.learn.loader import ShardLoader
    from olatkit.realtime.relighter import Relighter
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


def _choose_kernel_cache() -> None:
    """Give numba a folder for compiled kernels where neither the package's own nor the user's cache can be written.

    Numba refuses to import such a package at all. An existing NUMBA_CACHE_DIR is left alone.
    """
    package = os.path.dirname(os.path.abspath(__file__))
    user = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if "NUMBA_CACHE_DIR" in os.environ or os.access(package, os.W_OK) or _can_make(user):
        return
    import tempfile

    user_id = os.getuid() if hasattr(os, "getuid") else 0
    folder = os.path.join(tempfile.gettempdir(), f"olatkit-kernels-{user_id}")
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        # Compiled code is loaded from there: a folder that another user made is not to be trusted.
        if os.lstat(folder).st_uid != user_id:
            folder = tempfile.mkdtemp(prefix="olatkit-kernels-")
    os.environ["NUMBA_CACHE_DIR"] = folder


def _can_make(folder: str) -> bool:
    """Whether a folder can be written to, or made if it does not exist."""
    while not os.path.exists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return os.path.isdir(folder) and os.access(folder, os.W_OK)


_choose_kernel_cache()
