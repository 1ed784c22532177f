"""Quality bars of the demultiplexer on moving heads whose images are known, by the benchmark that prints the table."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def quality():
    """The benchmark as a module."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import capture_quality

        yield capture_quality
    finally:
        sys.path.remove(str(BENCHMARKS))


def check_bars(quality, scene, speed):
    recording = scene.setup(128, float(speed), 0.0, 0.0)
    best, _ = quality.score(scene, recording, quality.settings())
    for name, value, bar in zip(quality.COLUMNS, best, quality.bars_of(scene)[speed], strict=True):
        assert value >= bar, f"{name} at {speed} px/s: {value:.2f} dB, bar {bar}"
    if speed:
        none, _ = quality.score(scene, recording, quality.settings("nearest", "none"))
        assert best[0] - none[0] >= quality.margins_of(scene)[speed]
        nearest, _ = quality.score(scene, recording, quality.settings("nearest"))
        assert best[0] > nearest[0] + 1


def check_crosstalk(quality, scene):
    recording = scene.setup(128, 0.0, 0.0, 0.03)
    left, _ = quality.score(scene, recording, quality.settings(crosstalk=0.0))
    estimated, plan = quality.score(scene, recording, quality.settings(crosstalk="auto"))
    assert plan.findings["crosstalk"] == pytest.approx(0.03, abs=0.001)
    assert estimated[0] >= quality.CROSSTALK_BAR
    assert left[0] < 42


@pytest.fixture(scope="module")
def own_head(quality):
    return quality.load_scene(BENCHMARKS / "reference_head.py")


@pytest.mark.slow
@pytest.mark.parametrize("speed", [0, 30, 100])
def test_bars_on_the_reference_head(quality, own_head, speed):
    check_bars(quality, own_head, speed)


@pytest.mark.slow
def test_crosstalk_on_the_reference_head(quality, own_head):
    check_crosstalk(quality, own_head)


@pytest.fixture(scope="module")
def embedded_head(quality):
    return quality.load_scene(BENCHMARKS / "embedded_head.py")


@pytest.mark.slow
@pytest.mark.parametrize("speed", [0, 30, 100])
def test_bars_on_the_embedded_head(quality, embedded_head, speed):
    check_bars(quality, embedded_head, speed)


@pytest.mark.slow
def test_crosstalk_on_the_embedded_head(quality, embedded_head):
    check_crosstalk(quality, embedded_head)


@pytest.fixture(scope="module")
def other_head(quality, test_data):
    path = test_data.parent / "prototype" / "proto_demux.py"
    if not path.is_file():
        pytest.skip(f"no scene script {path}")
    return quality.load_scene(path)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("speed", [0, 30, 100])
def test_bars_on_another_head(quality, other_head, speed):
    check_bars(quality, other_head, speed)


@pytest.mark.slow
@pytest.mark.real_data
def test_crosstalk_on_another_head(quality, other_head):
    check_crosstalk(quality, other_head)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("speed", [60, 400])
def test_large_heads(quality, other_head, speed):
    """256 px: the bar on A, and what looking both ways gains over the nearest look, mean of two phases."""
    scores = {"blend": 0.0, "nearest": 0.0}
    for start in quality.STARTS:
        recording = other_head.setup(256, float(speed), start, 0.0)
        for mode in scores:
            scores[mode] += quality.score(other_head, recording, quality.settings(mode))[0][0] / len(quality.STARTS)
    assert scores["blend"] >= quality.LARGE_BARS[speed]
    assert scores["blend"] - scores["nearest"] >= quality.BLEND_OVER_NEAREST[speed]
