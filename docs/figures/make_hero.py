"""Draw the picture of the README from a take and a map.

    SIZE=256 pipelines/simulated_stage/run.sh out/hero
    python docs/figures/make_hero.py out/hero/take.olat.h5 out/hero/studio.exr
"""

import sys
from pathlib import Path

import cv2
import numpy as np

import olatkit
from olatkit.render.pictures import contact_sheet, find_exposure, to_display
from olatkit.render.weights import cell_areas

COLUMNS = 6
OUT = Path(__file__).parent / "hero.jpg"


def hero(take_path: str, map_path: str) -> np.ndarray:
    """Single lights in the first row, the turning map in the second, sRGB uint8."""
    take = olatkit.open_take(take_path)
    imageset, env = take[len(take) // 2], olatkit.read_environment(map_path)
    exposure = find_exposure(imageset, cell_areas(take.rig))
    azimuths = np.radians([20, 75, 130, 230, 285, 340])
    wanted = np.stack([np.sin(azimuths), np.full(COLUMNS, 0.35), np.cos(azimuths)], axis=1)
    lights = (wanted @ take.rig.directions.T).argmax(axis=1)
    olats = [to_display(imageset.radiance[light] * 3, exposure) for light in lights]
    turned = [env.rotate(yaw_deg=360 * k / COLUMNS).downsample(16, 16) for k in range(COLUMNS)]
    weights = np.stack([olatkit.light_weights(e, take.rig) for e in turned])
    relit = [to_display(image, exposure / env.mean_luminance) for image in olatkit.relight(imageset, weights)]
    height, width = olats[0].shape[:2]
    middle = slice(round(0.06 * width), round(0.94 * width))
    return contact_sheet([image[: round(0.97 * height), middle] for image in [*olats, *relit]], COLUMNS, gap_px=2)


if __name__ == "__main__":
    sheet = cv2.cvtColor(hero(*sys.argv[1:3]), cv2.COLOR_RGB2BGR)
    width = min(sheet.shape[1], 1400)
    sheet = cv2.resize(sheet, (width, sheet.shape[0] * width // sheet.shape[1]), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(OUT), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(OUT)
