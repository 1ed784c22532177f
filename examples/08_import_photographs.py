"""Turn photographs under one light each into a take, as `olatkit import` does, and relight them.

    python examples/08_import_photographs.py [FOLDER]

The photographs are made here, of the simulated head: 8-bit sRGB, with a list of lights as tools for reflectance
transformation imaging write it. Makes FOLDER/08_photographs/ and FOLDER/08_import.png.
"""

import sys
from pathlib import Path

import numpy as np

import olatkit
from olatkit.color import to_srgb8
from olatkit.io.images import write_png
from olatkit.io.light_lists import write_lp
from olatkit.io.manifests import read_manifest
from olatkit.jobs.import_photographs import import_photographs
from olatkit.jobs.report import simple_sky
from olatkit.render.pictures import contact_sheet, find_exposure, to_display
from olatkit.render.weights import cell_areas
from olatkit.rig import default_rig
from olatkit.simulate.subject import Subject

MANIFEST = """
pictures:
  files: "light_*.png"
  transfer: srgb                       # what the camera did to light; never guessed
  black_level: 0
  white_level: 255
lights:
  source: lights.lp
  axes: x-right,y-up,z-to-camera       # where the list's axes point, seen from the camera
  unit: direction
  order: listed                        # the list names the picture of every light
  gains: equal
"""
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
photographs = folder / "08_photographs"
rig, subject = default_rig(60), Subject(3, (160, 160), speed_px=0)
exact = subject.olat(subject.view(0.0), rig.directions)
names = [f"light_{light:02d}.png" for light in range(len(rig))]
for name, image in zip(names, exact / np.percentile(exact, 99.9), strict=True):
    write_png(photographs / name, to_srgb8(image), overwrite=True)
write_lp(photographs / "lights.lp", names, rig.directions, overwrite=True)
(photographs / "manifest.yaml").write_text(MANIFEST)

manifest = read_manifest(photographs / "manifest.yaml")
done = import_photographs(photographs, manifest, folder / "08_head.olat.h5", overwrite=True)
print(f"{done.take}: {done.lights} lights, {done.saturated} pictures saturated")

take, sky = olatkit.open_take(done.take), simple_sky()
weights = np.stack([olatkit.light_weights(sky.rotate(yaw), take.rig) for yaw in range(0, 360, 60)])
exposure = find_exposure(take[0], cell_areas(take.rig)) / sky.mean_luminance
strip = [to_display(image, exposure) for image in olatkit.relight(take[0], weights)]
write_png(folder / "08_import.png", contact_sheet(strip, 6), overwrite=True)
print(folder / "08_import.png")
