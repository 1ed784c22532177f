"""The simulated-stage pipeline from end to end, as a user runs it, checked against the simulator's truth."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import olatkit
from olatkit.io.images import read_picture
from olatkit.io.truth import read_truth

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "pipelines" / "simulated_stage" / "run.sh"

pytestmark = pytest.mark.slow

# Measured 36.7 and 39.4 dB; hair is finer than the pixels of so small a picture. The margin is for other versions of the
# libraries.
PSNR_BAR = 36.0
RELIT_BAR = 38.6


def _run(folder: Path, **settings: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    env = {**os.environ, "PATH": path, "SIZE": "128", "DURATION": "0.25", **settings}
    done = subprocess.run([str(RUN), str(folder)], check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    _run(folder)
    return folder


def _psnr(images: np.ndarray, truth: np.ndarray, inside: np.ndarray) -> float:
    """Decibels below the level at which single-light frames are exposed; the camera clips at 1."""
    error = (np.minimum(images, 1) - np.minimum(truth, 1))[..., inside, :]
    return float(10 * np.log10(0.6**2 / np.mean(error**2)))


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict[str, np.ndarray]:
    return read_truth(folder / "stage" / "truth.h5", 0)


@pytest.fixture(scope="module")
def imageset(folder: Path) -> olatkit.Imageset:
    take = olatkit.open_take(folder / "take.olat.h5")
    with h5py.File(folder / "stage" / "truth.h5") as file:
        reference = int(file["r"][0])
    return take[list(take.reference_frames).index(reference)]


def test_phase_and_windows_are_those_of_the_simulator(folder: Path) -> None:
    take = olatkit.open_take(folder / "take.olat.h5")
    with h5py.File(folder / "stage" / "truth.h5") as file:
        phase, stride = int(file.attrs["phase"]), int(file.attrs["stride"])
    assert take.notes["phase"] == phase
    assert ((take.reference_ticks - phase) % stride == 0).all()
    assert (np.diff(take.reference_ticks) == stride).all()
    assert len(take) == len([r for r in range(phase % stride, 250, stride) if r >= 60 and r + 60 <= 249])


def test_every_light_agrees_with_the_truth(imageset: olatkit.Imageset, truth: dict[str, np.ndarray]) -> None:
    inside = truth["mask"] > 127
    assert _psnr(imageset.radiance, truth["olat"], inside) > PSNR_BAR
    # A light in the wrong place in the order would be far off: each picture is nearest to its own truth.
    mine, true = (
        np.minimum(images[:, inside], 1).reshape(len(images), -1)[:, ::7] for images in (imageset.radiance, truth["olat"])
    )
    distance = ((mine[:, None] - true[None]) ** 2).mean(axis=2)
    assert (distance.argmin(axis=1) == np.arange(len(mine))).all()


def test_fully_lit_picture_is_the_sum_of_the_lights(imageset: olatkit.Imageset, truth: dict[str, np.ndarray]) -> None:
    inside = truth["mask"] > 127
    total = truth["olat"].sum(axis=0)[inside].mean()
    # The tracking drive is known exactly; the camera clips a few highlights of rear lights.
    assert imageset.full[inside].mean() == pytest.approx(total, rel=0.03)


def test_relit_picture_agrees_with_the_truth(
    folder: Path, imageset: olatkit.Imageset, truth: dict[str, np.ndarray]
) -> None:
    take = olatkit.open_take(folder / "take.olat.h5")
    env = olatkit.read_environment(folder / "studio.exr")
    weights = olatkit.light_weights(env.downsample(16, 16), take.rig)
    inside = truth["mask"] > 127
    mine, true = (olatkit.relight(np.minimum(x, 1), weights) for x in (imageset.radiance, truth["olat"]))
    error = np.mean((mine - true)[inside] ** 2)
    peak = np.percentile(true[inside], 99)
    assert 10 * np.log10(peak**2 / error) > RELIT_BAR


def test_pictures_show_something(folder: Path) -> None:
    picture = read_picture(folder / "contact_sheet.png")
    assert 10 < picture.mean() < 200
    assert (folder / "turntable.mp4").stat().st_size > 20_000


def test_a_second_run_keeps_what_is_whole(folder: Path) -> None:
    whole = [folder / "stage" / "take.cine", folder / "take.olat.h5"]
    before = [path.stat().st_mtime_ns for path in whole]
    shown = _run(folder)
    assert [path.stat().st_mtime_ns for path in whole] == before
    assert str(folder / "contact_sheet.png") in shown
    assert str(folder / "turntable.mp4") in shown
