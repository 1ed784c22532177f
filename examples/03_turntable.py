"""Turn the light around the subject: a strip of pictures and a video.

    python examples/03_turntable.py [FOLDER]

Makes FOLDER/03_turntable.png and FOLDER/03_turntable.mp4. `olatkit render --turntable` does the same for any map.
"""

import sys
from pathlib import Path

import numpy as np

import olatkit
from olatkit.io.images import write_png
from olatkit.io.video import write_video
from olatkit.render.pictures import contact_sheet, find_exposure, to_display
from olatkit.render.weights import cell_areas

FRAMES, STRIP = 48, 6
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
if not (folder / "take.olat.h5").exists():
    sys.exit(f"{folder}/take.olat.h5 is missing; run examples/01_simulate_and_ingest.py {folder} first")
take = olatkit.open_take(folder / "take.olat.h5")

# A window to the right of the camera (+X, +Z) and a dim room; rows run from the ceiling to the floor.
radiance = np.full((32, 64, 3), (0.10, 0.11, 0.13), np.float32)
radiance[9:17, 50:58] = (14, 15, 17)
env = olatkit.EnvironmentMap(radiance, "window")

turned = [env.rotate(yaw_deg=360 * k / FRAMES) for k in range(FRAMES)]
weights = np.stack([olatkit.light_weights(e, take.rig) for e in turned])   # (48, 114, 3)

# Many lightings of one imageset cost little more than one.
imageset = take[0]
images = olatkit.relight(imageset, weights)                                # (48, H, W, 3)
exposure = find_exposure(imageset, cell_areas(take.rig)) / env.mean_luminance
pictures = [to_display(image, exposure) for image in images]

labels = [f"yaw {360 * k // FRAMES}" for k in range(0, FRAMES, FRAMES // STRIP)]
strip = contact_sheet(pictures[:: FRAMES // STRIP], STRIP, labels)
write_png(folder / "03_turntable.png", strip, overwrite=True)
write_video(folder / "03_turntable.mp4", pictures, fps=25, overwrite=True)
print(folder / "03_turntable.png", folder / "03_turntable.mp4", sep="\n")
