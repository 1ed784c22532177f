"""What motion compensation is worth: one imageset with and without it, against the simulator's ground truth.

    python examples/06_errors_of_motion.py [FOLDER]

Makes FOLDER/06_motion.png: truth, compensated and not compensated, for three lights.
"""

import sys
from pathlib import Path

import h5py
import numpy as np

import olatkit
from olatkit.capture.config import IngestConfig, MotionConfig
from olatkit.color import to_srgb8
from olatkit.io.images import write_png
from olatkit.io.truth import read_truth
from olatkit.jobs.ingest import ingest
from olatkit.render.pictures import contact_sheet

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
if not (folder / "take.olat.h5").exists():
    sys.exit(f"{folder}/take.olat.h5 is missing; run examples/01_simulate_and_ingest.py {folder} first")
stage = folder / "stage"
still = folder / "not_compensated.olat.h5"
ingest(
    stage / "take.cine", stage / "rig.json", stage / "schedule.json", still,
    config=IngestConfig(motion=MotionConfig(method="none")), overwrite=True,
)

truth = read_truth(stage / "truth.h5", 0)
inside = truth["mask"] > 127
with h5py.File(stage / "truth.h5") as file:
    frame = int(file["r"][0])  # the frame of the instant whose truth is known
rows = []
for name in ("truth", "take.olat.h5", still.name):
    if name == "truth":
        images = truth["olat"]
    else:
        take = olatkit.open_take(folder / name)
        images = take[list(take.reference_frames).index(frame)].radiance
    error = np.mean((np.minimum(images, 1) - np.minimum(truth["olat"], 1))[:, inside] ** 2)
    print(f"{name}: {10 * np.log10(0.6**2 / error):.1f} dB" if error else f"{name}")
    rows += [to_srgb8(np.clip(images[light] / 0.6, 0, 1)) for light in (44, 42, 28)]
write_png(folder / "06_motion.png", contact_sheet(rows, 3), overwrite=True)
print(folder / "06_motion.png")
