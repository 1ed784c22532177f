"""Fixtures shared by the whole suite."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure: no test is about time.
settings.register_profile("olatkit", deadline=None)
settings.load_profile("olatkit")

# Tests that run side by side share the cores: libraries that start a thread per core in each would wait for each other.
# Set before NumPy, numba and torch are imported, and inherited by commands that tests start.
if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real inputs, from OLATKIT_TEST_DATA; tests that need it are skipped without it."""
    folder = os.environ.get("OLATKIT_TEST_DATA")
    if not folder:
        pytest.skip("OLATKIT_TEST_DATA is not set")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"OLATKIT_TEST_DATA is {folder!r}, which is not a folder")
    return path


@pytest.fixture(scope="session")
def cuda() -> str:
    """The name of a GPU; tests that need one are skipped without it, or fail under OLATKIT_REQUIRE_GPU=1."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available() and not os.environ.get("OLATKIT_REQUIRE_GPU"):
        pytest.skip("no CUDA device")
    return "cuda"
