"""Relight one imageset under an environment map.

    python examples/02_relight_with_a_map.py [FOLDER] [MAP]

MAP is any lat-long .hdr or .exr; without it a sunset is made up. Makes FOLDER/02_relit.png and FOLDER/02_light.png.
"""

import sys
from pathlib import Path

import numpy as np

import olatkit
from olatkit.geometry import latlong_directions
from olatkit.io.images import write_exr, write_png
from olatkit.render.lighting_ball import lighting_ball
from olatkit.render.pictures import find_exposure, to_display
from olatkit.render.weights import cell_areas

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
if not (folder / "take.olat.h5").exists():
    sys.exit(f"{folder}/take.olat.h5 is missing; run examples/01_simulate_and_ingest.py {folder} first")

if len(sys.argv) > 2:
    map_path = Path(sys.argv[2])
else:
    # A low warm sun to the right of the camera, a blue sky, a dark ground.
    directions = latlong_directions(64, 128)
    up, towards = directions[..., 1:2], np.array([0.8, 0.15, 0.6]) / np.linalg.norm([0.8, 0.15, 0.6])
    sun = np.exp((directions @ towards - 1) / (1 - np.cos(np.radians(5))))[..., None]
    sky = np.where(up > 0, np.array([0.25, 0.4, 0.8]) + 0.2 * (1 - up), 0.05)
    map_path = folder / "sunset.exr"
    write_exr(map_path, (sky + sun * np.array([110, 68, 30])).astype(np.float32), overwrite=True)

take = olatkit.open_take(folder / "take.olat.h5")
env = olatkit.read_environment(map_path)
print(env, "power", env.power.round(2))

# One number per light and color: radiance times solid angle. Their sum is the power of the map.
weights = olatkit.light_weights(env, take.rig)
print("sum of all weights", weights.sum(axis=0).round(2))

imageset = take[len(take) // 2]
image = olatkit.relight(imageset, weights)

# One exposure per take, found under a white sky; the map is scaled to mean luminance 1.
exposure = find_exposure(imageset, cell_areas(take.rig)) / env.mean_luminance
write_png(folder / "02_relit.png", to_display(image, exposure), overwrite=True)
write_png(folder / "02_light.png", to_display(lighting_ball(env), 0.5 / env.mean_luminance), overwrite=True)
print(folder / "02_relit.png", folder / "02_light.png", sep="\n")
