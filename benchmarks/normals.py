"""Error of photometric normals on the simulated head, whose normals are known, and the time they take.

    python benchmarks/normals.py [SIZE]

114 lights, noise of 0.4 % of full scale with the brightest 0.5 % of the picture at half of it, pixels that the head
covers whole.
"""

import sys
import time

import numpy as np

from olatkit.render.normals import RANKS, STEPS, fit_surface
from olatkit.rig import default_rig
from olatkit.simulate.subject import Subject
from olatkit.simulate.texture import LABELS

SEEDS = (1, 2, 3)
METHODS = (
    ("all lights, least squares", (0.0, 1.0), 0),
    (f"ranks {RANKS[0]:g} to {RANKS[1]:g}", RANKS, 0),
    (f"ranks, then {STEPS} robust steps", RANKS, STEPS),
)
PARTS = ("skin", "hair", "cloth")


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    rig, rng = default_rig(), np.random.default_rng(0)
    errors: dict[str, list[np.ndarray]] = {name: [] for name, _, _ in METHODS}
    labels, seconds = [], dict.fromkeys(errors, 0.0)
    for seed in SEEDS:
        subject = Subject(seed, (size, size), speed_px=0)
        olat = subject.olat(subject.view(0.0), rig.directions)
        olat = (olat * (0.5 / np.percentile(olat, 99.5)) + rng.normal(0, 0.004, olat.shape)).astype(np.float32)
        mask, truth = subject.alpha(0.0) == 1, subject.normals(0.0)
        labels.append(subject.labels(0.0)[mask])
        for name, ranks, steps in METHODS:
            fit_surface(olat[:, :1], rig, ranks=ranks, steps=steps)  # compiles
            start = time.perf_counter()
            normals = fit_surface(olat, rig, ranks=ranks, steps=steps).normals[mask]
            seconds[name] += (time.perf_counter() - start) / len(SEEDS)
            errors[name].append(np.degrees(np.arccos(np.clip((normals * truth[mask]).sum(axis=1), -1, 1))))
    print(f"{size}x{size}, {len(rig)} lights, {len(SEEDS)} heads: mean angle in degrees")
    print(f"{'':32}" + "".join(f"{part:>8}" for part in (*PARTS, "all", "95 %")) + "   seconds")
    label = np.concatenate(labels)
    for name, found in errors.items():
        error = np.concatenate(found)
        parts = [error[label == list(LABELS).index(part)].mean() for part in PARTS]
        row = [*parts, error.mean(), np.percentile(error, 95)]
        print(f"{name:32}" + "".join(f"{value:8.2f}" for value in row) + f"{seconds[name]:10.2f}")


if __name__ == "__main__":
    main()
