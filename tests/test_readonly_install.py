"""A package that lies where nobody may write, used by somebody without a home, still compiles its kernels."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import olatkit

# Root may write everywhere, so a child that runs as root is told otherwise.
AS_A_USER = """
import os
if hasattr(os, "getuid") and os.getuid() == 0:
    access = os.access
    os.access = lambda path, mode: mode != os.W_OK and access(path, mode)
"""
WHERE = """
import olatkit
import olatkit.io.packing
kernels = [kernel for kernel in vars(olatkit.io.packing).values() if hasattr(kernel, "stats")]
print(olatkit.__file__, os.environ.get("NUMBA_CACHE_DIR"), kernels[0].stats.cache_path, sep="\\n")
"""


@pytest.fixture
def copy() -> Iterator[Path]:
    """A copy of the package without compiled files, in folders that cannot be written to but by root."""
    folder = Path(tempfile.mkdtemp(prefix="olatkit-test-"))
    package = folder / "olatkit"
    shutil.copytree(Path(olatkit.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    folders = [folder, package, *(path for path in package.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    yield folder
    for path in folders:
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_kernels_find_a_place_for_their_cache(copy: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    env |= {"PYTHONPATH": str(copy), "HOME": str(copy / "no-such-home"), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, "-P", "-c", AS_A_USER + WHERE], capture_output=True, text=True, env=env, cwd="/", check=False
    )
    assert run.returncode == 0, run.stderr
    found, cache, kernel = run.stdout.splitlines()
    assert Path(found) == copy / "olatkit" / "__init__.py"
    assert Path(cache).parent == Path(tempfile.gettempdir())
    assert Path(kernel).parent == Path(cache)
