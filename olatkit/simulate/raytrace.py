"""Which points of a mesh see a distant light, by Mitsuba 3's ray tracer (W. Jakob et al. 2022, mitsuba-renderer.org).

Mitsuba has many variants. ``llvm_ad_rgb`` traces many rays in one call but needs the LLVM library, of which some
versions end the whole process; so a child process tries it first. ``scalar_rgb`` always works, one ray at a time.
"""

import logging
import subprocess
import sys
from functools import cache
from threading import Lock
from types import ModuleType

import numpy as np

from olatkit.errors import ConfigError

FAST, PLAIN = "llvm_ad_rgb", "scalar_rgb"
# Rays of one call: enough to make the call itself negligible, and 50 MB of memory.
RAYS_AT_ONCE = 2**20
_PROBE = f"""
import mitsuba as mi
import numpy as np
mi.set_variant("{FAST}")
scene = mi.load_dict({{"type": "scene", "ball": {{"type": "sphere"}}}})
start = np.array([[0, 0, -3], [5, 0, -3]], np.float32)
hit = np.array(scene.ray_test(mi.Ray3f(mi.Point3f(start.T), mi.Vector3f(0, 0, 1))))
raise SystemExit(0 if hit.tolist() == [True, False] else 1)
"""
_log = logging.getLogger(__name__)


def import_mitsuba() -> ModuleType:
    """The mitsuba package, or a ConfigError that says how to install it."""
    try:
        import mitsuba
    except ImportError as error:
        raise ConfigError(
            "a mesh on the simulated stage needs Mitsuba 3, which is not installed; run pip install 'olatkit[sim]'"
        ) from error
    return mitsuba


@cache
def choose_variant() -> str:
    """``llvm_ad_rgb`` where it works, else ``scalar_rgb``; the answer is found once for a process."""
    try:
        probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired):
        works = False
    else:
        works = probe.returncode == 0
    if not works:
        _log.info("Mitsuba's %s does not work here; %s is used, which is slower", FAST, PLAIN)
    return FAST if works else PLAIN


class ShadowTracer:
    """Shadow rays against one mesh at rest.

    Parameters
    ----------
    points : ndarray, shape (V, 3)
        Positions.
    faces : ndarray, shape (F, 3)
        Triangles.
    variant : str, optional
        Mitsuba's variant, :data:`FAST` or :data:`PLAIN`; the faster one that works by default.

    Raises
    ------
    ConfigError
        Mitsuba is not installed or the variant not in it.
    """

    def __init__(self, points: np.ndarray, faces: np.ndarray, *, variant: str | None = None) -> None:
        mitsuba = import_mitsuba()
        variant = variant or choose_variant()
        if variant not in (FAST, PLAIN):
            raise ConfigError(f"Mitsuba variant is '{variant}', expected {FAST} or {PLAIN}")
        self.variant, before = variant, mitsuba.variant()
        mitsuba.set_variant(variant)
        try:
            mesh = mitsuba.Mesh("mesh", len(points), len(faces))
            parameters = mitsuba.traverse(mesh)
            parameters["vertex_positions"] = np.ascontiguousarray(points, np.float32).ravel()
            parameters["faces"] = np.ascontiguousarray(faces, np.uint32).ravel()
            parameters.update()
            self._scene = mitsuba.load_dict({"type": "scene", "mesh": mesh})
            self._ray, self._point, self._vector = mitsuba.Ray3f, mitsuba.Point3f, mitsuba.Vector3f
        finally:
            # The variant is a setting of the whole process; leave the caller's alone.
            if before is not None:
                mitsuba.set_variant(before)
        self._lock = Lock()

    def sees(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Whether rays from ``origins`` (N, 3) along ``directions`` (N, 3) leave the mesh untouched, (N,) bool."""
        out = np.empty(len(origins), bool)
        for first in range(0, len(origins), RAYS_AT_ONCE):
            some = slice(first, first + RAYS_AT_ONCE)
            with self._lock:
                out[some] = self._sees_some(origins[some], directions[some])
        return out

    def _sees_some(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """One call for all rays, or one call for each with the variant that knows single rays only."""
        if self.variant == FAST:
            starts, ways = (np.ascontiguousarray(a.T, np.float32) for a in (origins, directions))
            return ~np.array(self._scene.ray_test(self._ray(self._point(starts), self._vector(ways))), bool)
        ray, test = self._ray(self._point(0, 0, 0), self._vector(0, 0, 1)), self._scene.ray_test
        blocked = []
        for origin, direction in zip(origins.tolist(), directions.tolist(), strict=True):
            ray.o, ray.d = origin, direction
            blocked.append(test(ray))
        return ~np.array(blocked, bool)
