"""Every script in examples/ runs, in order, at a small size, and leaves the pictures that it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from olatkit.io.images import read_picture

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "examples").glob("[0-9]*.py"))

# The first script simulates and ingests a take, and the others need it: minutes on a busy machine.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example(script: Path, folder: Path) -> None:
    size = ["96"] if script.name.startswith("01") else []
    done = subprocess.run(
        [sys.executable, str(script), str(folder), *size], check=False, capture_output=True, text=True, cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "error::DeprecationWarning:__main__"},
    )
    assert done.returncode == 0, done.stderr
    promised = re.findall(r"FOLDER/(\w+\.(?:png|mp4))", script.read_text(encoding="utf-8"))
    assert promised
    for name in promised:
        path = folder / name
        assert path.stat().st_size > 1000
        if path.suffix == ".png":
            picture = read_picture(path)
            # Neither black, nor white, nor flat.
            assert 2 < picture.mean() < 253
            assert np.ptp(picture) > 128


@pytest.mark.parametrize("script", SCRIPTS[1:6], ids=lambda path: path.stem)
def test_an_example_without_its_take_says_what_to_run_first(script: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(script), str(tmp_path)], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert f"run examples/01_simulate_and_ingest.py {tmp_path} first" in done.stderr
    assert not list(tmp_path.iterdir())


def test_examples_are_short_and_say_how_to_run_them() -> None:
    assert len(SCRIPTS) >= 5
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 60, script.name
        assert f"python examples/{script.name} [FOLDER]" in text
        assert f"python examples/{script.name}" in readme
