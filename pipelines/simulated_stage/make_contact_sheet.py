"""Draw a take at a glance: sixteen of its OLAT images, and eight directions of a map.

    python make_contact_sheet.py take.olat.h5 studio.exr contact_sheet.png
"""

import sys

import numpy as np

import olatkit
from olatkit.io.images import write_png
from olatkit.render.pictures import contact_sheet, find_exposure, to_display
from olatkit.render.weights import cell_areas


def draw(take_path: str, map_path: str, out: str) -> None:
    """One row of relit pictures below two rows of single lights from the front, right, back and left."""
    take = olatkit.open_take(take_path)
    imageset = take[len(take) // 2]
    exposure = find_exposure(imageset, cell_areas(take.rig))
    env = olatkit.read_environment(map_path)
    turned = [env.rotate(yaw_deg=45.0 * k).downsample(16, 16) for k in range(8)]
    weights = np.stack([olatkit.light_weights(e, take.rig) for e in turned])
    relit = [to_display(image, exposure / env.mean_luminance) for image in olatkit.relight(imageset, weights)]
    azimuths = np.radians(np.arange(16) * 22.5)
    wanted = np.stack([np.sin(azimuths), np.tile([0.25, 0.6], 8), np.cos(azimuths)], axis=1)
    lights = (wanted @ take.rig.directions.T).argmax(axis=1)
    # A white sky is seen by 4π sr of lights; one light alone at 2.5 sr looks about as bright.
    olats = [to_display(imageset.radiance[light] * 2.5, exposure) for light in lights]
    labels = [f"light {light}" for light in lights] + [f"yaw {45 * k}" for k in range(8)]
    write_png(out, contact_sheet([*olats, *relit], 8, labels), overwrite=True)


if __name__ == "__main__":
    draw(*sys.argv[1:4])
