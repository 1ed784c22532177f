"""Record a take on the simulated stage and turn it into imagesets, as `olatkit simulate` and `olatkit ingest` do.

    python examples/01_simulate_and_ingest.py [FOLDER] [SIZE]

Makes FOLDER/stage/ (take.cine, rig.json, schedule.json, truth.h5), FOLDER/take.olat.h5 and FOLDER/01_olats.png.
"""

import sys
from pathlib import Path

import numpy as np

import olatkit
from olatkit.color import to_srgb8
from olatkit.io.images import write_png
from olatkit.jobs.ingest import ingest
from olatkit.jobs.simulate import simulate
from olatkit.render.pictures import contact_sheet
from olatkit.rig import default_rig
from olatkit.schedule import default_114
from olatkit.simulate.stage import Stage
from olatkit.simulate.subject import Subject

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
size = int(sys.argv[2]) if len(sys.argv) > 2 else 192

# Who is filmed, the 114 lights, the cycle of 120 frames. The take starts in the middle of a cycle: phase 37.
subject = Subject(1, (size, size), speed_px=150 * size / 192)
stage = Stage(subject, default_rig(), default_114(), phase=37)
simulate(stage, folder / "stage", ticks=250, truth=1, overwrite=True)

# Nothing tells the ingest about the phase: it is found in the frames.
done = ingest(
    folder / "stage/take.cine", folder / "stage/rig.json", folder / "stage/schedule.json", folder / "take.olat.h5",
    overwrite=True,
)
print(f"{done.imagesets} imagesets; phase {done.phase} found with a score of {done.phase_score:.3f}")

take = olatkit.open_take(folder / "take.olat.h5")
imageset = take[0]
white = np.percentile(imageset.radiance, 99.5)
pictures = [to_srgb8(image / white) for image in imageset.radiance[::5]]
write_png(folder / "01_olats.png", contact_sheet(pictures, 8), overwrite=True)
print(folder / "01_olats.png")
