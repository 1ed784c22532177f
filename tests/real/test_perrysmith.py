"""A scanned head rendered by path tracing, recorded as a Phantom file with noise and motion: ingest against its truth."""

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from olatkit.cli.ingest import command
from olatkit.io.takes import open_take

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def stage(test_data):
    folder = test_data / "stage_perrysmith"
    if not (folder / "capture.cine").is_file():
        pytest.skip(f"{folder} holds no capture.cine")
    return folder


def ingest(stage, out, *more):
    """Nothing but the rig and the schedule is told."""
    result = CliRunner().invoke(command, [
        str(stage / "capture.cine"), "--rig", str(stage / "rig.json"), "--schedule", str(stage / "schedule.json"),
        "-o", str(out), "--no-report", *more,
    ])
    assert result.exit_code == 0, result.output
    return open_take(out)


def score(take, folder):
    """PSNR [dB] in the dilated silhouette and 3 px inside it, mean over the instants of the truth.

    Both sides are divided by the 99.5th percentile of the truth and clipped to [0, 1]; one scale for the whole take is
    fitted on values below the camera's full scale.
    """
    index = {int(frame): i for i, frame in enumerate(take.reference_frames)}
    with h5py.File(folder / "truth.h5") as truth:
        unit = float(truth["olat"].attrs["codes_per_unit"])
        instants = []
        for i, frame in enumerate(truth["r"][:].tolist()):
            assert frame in index, f"no imageset at frame {frame}"
            want = truth["olat"][i].astype(np.float32) * np.float32(unit)
            cover = truth["mask"][i]
            outer = cv2.dilate((cover > 5).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
            inner = cv2.erode(outer.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
            peak = np.percentile(want[:, cover > 127], 99.5)
            # Inside the silhouette only: nothing else is scored.
            instants.append((take[index[frame]].radiance[:, outer], want[:, outer], inner[outer], float(peak)))
    top = max(peak for *_, peak in instants)
    products = [(got[want < 4000].astype(float), want[want < 4000]) for got, want, _, _ in instants]
    scale = sum((got * want).sum() for got, want in products) / sum((got**2).sum() for got, _ in products)
    levels = []
    for got, want, inner, _ in instants:
        error = np.square(np.clip(got * np.float32(scale) / top, 0, 1) - np.clip(want / top, 0, 1))
        levels.append([-10 * np.log10(error[:, part].mean(dtype=float)) for part in (slice(None), inner)])
    return np.mean(levels, axis=0)


def test_better_than_a_plain_demultiplexer(stage, tmp_path):
    """41.5 and 41.8 dB are what OpenCV's DIS flow, blending and Malvar's demosaicing reach on this take."""
    take = ingest(stage, tmp_path / "a.olat.h5")
    assert take.notes["phase"] == 37
    assert take.notes["phase_score"] > 0.7
    everywhere, inside = score(take, stage)
    print(f"all {everywhere:.2f} dB, interior {inside:.2f} dB")
    assert everywhere >= 41.5
    assert inside >= 41.8
    # Motion is what it is about: without compensation more than 10 dB are lost.
    still = ingest(stage, tmp_path / "b.olat.h5", "--set", "motion.method=none")
    plain, _ = score(still, stage)
    print(f"without compensation {plain:.2f} dB")
    assert everywhere - plain > 10
