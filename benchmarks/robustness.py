"""What crosstalk, dropped frames, changing expressions and other troubles cost, against the same take without them.

    python benchmarks/robustness.py [--size 192] [--seconds 0.4] [--cases crosstalk,drop,...] [--json FILE]

Every take shows the same simulated head on the same path with the same noise. All are scored at the same instants
against their own truth: PSNR of all single-light images in the silhouette dilated by 3 px, peak = 99.5th percentile
of the truth, one scale fitted per take. A take may lose at most 1.5 dB. Imagesets are made at half the camera's size:
at full size the colour filters' interpolation bounds the score (31 dB on a still head of 128 px, which is sharper than
any lens) and would hide the losses.
"""

import argparse
import json
import tempfile
from pathlib import Path

import cv2
import numpy as np

from olatkit.imageset import QUALITY_NAMES
from olatkit.io.takes import open_take
from olatkit.io.truth import read_truth
from olatkit.jobs.ingest import ingest
from olatkit.jobs.simulate import simulate
from olatkit.rig import default_rig
from olatkit.schedule import default_114
from olatkit.simulate.sensor import Sensor
from olatkit.simulate.stage import Disturbances, Stage
from olatkit.simulate.subject import Subject

LIMIT_DB = 1.5
PHASE = 17
EXPRESSION = 1.0
# Name: fields of Disturbances, and the strength of expressions. "expressions" is judged against a face that rests.
CASES = {
    "clean": ({}, EXPRESSION),
    "crosstalk 3 %": ({"crosstalk": 0.03}, EXPRESSION),
    "crosstalk 8 %": ({"crosstalk": 0.08}, EXPRESSION),
    "2 % of frames dropped": ({"drop": 0.02}, EXPRESSION),
    "5 % of frames dropped": ({"drop": 0.05}, EXPRESSION),
    "no expressions": ({}, 0.0),
    "crosstalk 3 %, 2 % dropped": ({"crosstalk": 0.03, "drop": 0.02}, EXPRESSION),
}


def record(folder: Path, size: int, seconds: float, name: str, speed: float) -> Path:
    """Simulate one case; ticks, phase, path, noise and truth instants are those of all others."""
    troubles, expression = CASES[name]
    stage = Stage(
        Subject(1, (size, size), speed_px=speed, expression=expression), default_rig(), default_114(),
        sensor=Sensor(seed=1), phase=PHASE, disturbances=Disturbances(seed=3, **troubles),
    )
    simulate(stage, folder, ticks=round(1000 * seconds), truth=None)
    return folder


def score(folder: Path, out: Path) -> tuple[dict[int, float], dict]:
    """Ingest the take with nothing but its rig and schedule; PSNR by tick of the instants, and what was noted."""
    import h5py

    with h5py.File(folder / "truth.h5") as truth:
        instants, (height, width) = truth["r_tick"][:].tolist(), truth["mask"].shape[1:]
    half = height // 2, width // 2
    done = ingest(folder / "take.cine", folder / "rig.json", folder / "schedule.json", out, size=half)
    take = open_take(out)
    ticks = {int(t): i for i, t in enumerate(take.reference_ticks)}
    pairs = []
    for i, tick in enumerate(instants):
        if tick in ticks:
            want = read_truth(folder / "truth.h5", i)
            cover = cv2.resize(want["mask"], half[::-1], interpolation=cv2.INTER_AREA)
            olat = want["olat"].reshape(-1, half[0], 2, half[1], 2, 3).mean(axis=(2, 4))
            outer = cv2.dilate((cover > 5).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
            peak = float(np.percentile(olat[:, cover > 127], 99.5))
            pairs.append((tick, take[ticks[tick]].radiance[:, outer], olat[:, outer], peak))
    unclipped = [(got[want < 0.97].astype(float), want[want < 0.97]) for _, got, want, _ in pairs]
    scale = sum((got * want).sum() for got, want in unclipped) / sum((got**2).sum() for got, _ in unclipped)
    top = max(peak for *_, peak in pairs)
    levels = {}
    for tick, got, want, _ in pairs:
        error = np.square(np.clip(got * np.float32(scale) / top, 0, 1) - np.clip(want / top, 0, 1))
        levels[tick] = float(-10 * np.log10(error.mean(dtype=np.float64)))
    flags = {name: int((take.quality & bit > 0).sum()) for bit, name in QUALITY_NAMES.items()}
    notes = {"phase": done.phase, "crosstalk": done.crosstalk, "dropped": done.dropped, "skipped": done.skipped}
    return levels, notes | {name: count for name, count in flags.items() if count}


def compare(names, size: int, seconds: float, speed: float) -> dict[str, dict]:
    """Loss of every case against the clean take (expressions: the clean take against a resting face) in dB."""
    rows: dict[str, dict] = {}
    clean: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for i, name in enumerate(["clean", *(n for n in names if n != "clean")]):
            folder = record(Path(scratch) / str(i), size, seconds, name, speed)
            levels, notes = score(folder, folder / "take.olat.h5")
            clean = clean or levels
            common = sorted(set(levels) & set(clean))
            mean, reference = (float(np.mean([row[t] for t in common])) for row in (levels, clean))
            loss = mean - reference if name == "no expressions" else reference - mean
            rows[name] = {"db": mean, "loss_db": loss, "instants": len(common), **notes}
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=192, help="camera pixels; imagesets are half as large")
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--speed", type=float, default=40.0, help="peak image speed, px/s")
    parser.add_argument("--cases", default=",".join(CASES).replace(", 2", "; 2"), help="comma between cases, ; within one")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    names = [name.replace(";", ",") for name in args.cases.split(",")]
    rows = compare(names, args.size, args.seconds, args.speed)
    for name, row in rows.items():
        mark = "" if row["loss_db"] <= LIMIT_DB else "  MISSED"
        notes = ", ".join(f"{key} {value:.4g}" for key, value in row.items() if key not in ("db", "loss_db"))
        print(f"{name:28s} {row['db']:6.2f} dB  loss {row['loss_db']:5.2f} (at most {LIMIT_DB}){mark}  {notes}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
