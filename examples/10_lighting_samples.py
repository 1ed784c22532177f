"""What a network is trained under: maps turned about the vertical, point lights, and their mixtures.

    python examples/10_lighting_samples.py [FOLDER] [BANK]

BANK is a lighting bank (`olatkit bank build`); without it three skies are made up. Every row of
FOLDER/10_lighting_samples.png is one sample: what the two frames are lit by (L^i, L^j), the target (L^k), and the point
lights in it (Y), as 16x16 maps and on a mirror ball and a diffuse ball.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from olatkit.color import to_srgb8
from olatkit.envmap import EnvironmentMap
from olatkit.geometry import latlong_directions
from olatkit.io.banks import read_bank
from olatkit.io.images import write_png
from olatkit.render.lighting_ball import lighting_ball
from olatkit.render.pictures import contact_sheet
from olatkit.render.sampling import LightingSampler, draw_lightings

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")

if len(sys.argv) > 2:
    maps = read_bank(sys.argv[2]).part("train").fine
else:
    directions = latlong_directions(64, 128)
    suns = np.array([[0.8, 0.3, 0.5], [-0.7, 0.6, 0.4], [0.1, 0.9, -0.4]])
    skies = np.array([[0.3, 0.45, 0.8], [0.5, 0.5, 0.5], [0.8, 0.4, 0.3]])
    maps = np.where(directions[..., 1:2] > 0, skies[:, None, None], 0.08)
    for made_up, sun in zip(maps, suns / np.linalg.norm(suns, axis=1, keepdims=True), strict=True):
        made_up[directions @ sun > np.cos(np.radians(10))] += [60, 50, 35]

sampler = LightingSampler(maps)
draw = draw_lightings(np.random.default_rng(5), 4, len(maps))
triplets = sampler.triplets(draw)
points = sampler.point_lights(draw)
print("beta", draw.beta.round(3).tolist())

pictures, labels = [], []
for n in range(4):
    lights = {
        "L^i": triplets.light_i[n], f"L^j  {draw.beta[n, 0]:.2f} L^i": triplets.light_j[n],
        f"L^k  {draw.beta[n, 1]:.2f} L^j + Y": triplets.light_k[n], "Y": points[n],
    }
    for text, light in lights.items():
        flat = cv2.resize(light, (288, 144), interpolation=cv2.INTER_NEAREST)
        balls = lighting_ball(EnvironmentMap(light), 144)
        pictures.append(to_srgb8(0.5 * np.vstack([flat, balls])))
        labels.append(text)

write_png(folder / "10_lighting_samples.png", contact_sheet(pictures, 4, labels), overwrite=True)
print(folder / "10_lighting_samples.png")
