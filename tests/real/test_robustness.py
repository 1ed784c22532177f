"""Takes with crosstalk, lost frames and a changing face lose little against the same take without them."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_troubles_cost_little():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import robustness
    finally:
        sys.path.remove(str(BENCHMARKS))
    rows = robustness.compare(["crosstalk 8 %", "crosstalk 3 %, 2 % dropped", "no expressions"], 128, 0.3, 30.0)
    for name, row in rows.items():
        assert row["loss_db"] <= robustness.LIMIT_DB, f"{name}: {row}"
        assert row["phase"] == robustness.PHASE
    assert rows["clean"]["db"] > 33
    assert rows["crosstalk 3 %, 2 % dropped"]["crosstalk"] == pytest.approx(0.03, abs=0.003)
    assert rows["crosstalk 3 %, 2 % dropped"]["dropped"] > 0
    # Rim lights exceed full scale up to nine times; without an estimate of what they leak this loses 2 dB.
    assert rows["crosstalk 8 %"]["loss_db"] < 0.5
