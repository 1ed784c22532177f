"""Fixtures shared by the whole suite."""

import os
from pathlib import Path

import pytest


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
