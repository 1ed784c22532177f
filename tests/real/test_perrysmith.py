"""A scanned head rendered by path tracing, recorded as a Phantom file with noise and motion: ingest against its truth."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from olatkit.cli.ingest import command
from olatkit.io.takes import open_take

pytestmark = pytest.mark.real_data
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scanned_head():
    """The benchmark that prints these scores, as a module."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import scanned_head

        yield scanned_head
    finally:
        sys.path.remove(str(BENCHMARKS))


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


def test_better_than_a_plain_demultiplexer(scanned_head, stage, tmp_path):
    """41.5 and 41.8 dB are what OpenCV's DIS flow, blending and Malvar's demosaicing reach on this take."""
    take = ingest(stage, tmp_path / "a.olat.h5")
    assert take.notes["phase"] == 37
    assert take.notes["phase_score"] > 0.7
    everywhere, inside, _ = scanned_head.score(take, stage)
    print(f"all {everywhere:.2f} dB, interior {inside:.2f} dB")
    assert everywhere >= 41.5
    assert inside >= 41.8
    # Motion is what it is about: without compensation more than 10 dB are lost.
    still = ingest(stage, tmp_path / "b.olat.h5", "--set", "motion.method=none")
    plain, *_ = scanned_head.score(still, stage)
    print(f"without compensation {plain:.2f} dB")
    assert everywhere - plain > 10
