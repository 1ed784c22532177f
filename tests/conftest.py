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
