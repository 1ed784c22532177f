"""Pictures that explain an environment map: what it shows, how bright it is, what networks and lights get of it."""

import numpy as np

from olatkit.color import luminance
from olatkit.envmap import EnvironmentMap
from olatkit.geometry import direction_to_uv
from olatkit.render.bank import SHOWN_LUMINANCE, to_pixels
from olatkit.render.encodings import encode_ldr
from olatkit.render.lighting_ball import lighting_ball
from olatkit.render.pictures import contact_sheet, draw_text
from olatkit.render.sh import evaluate_sh, project_sh
from olatkit.render.weights import cell_matrix, light_weights
from olatkit.rig import LightRig
from olatkit.wording import counted

HEIGHT, WIDTH = 256, 512
# Of bands of four stops, from 8 below the mean and less to 16 above it and more.
BANDS = np.array([(20, 20, 60), (40, 50, 130), (60, 110, 170), (90, 160, 130), (180, 190, 80), (240, 180, 50),
                  (245, 110, 40), (255, 255, 255)], np.uint8)


def map_page(environment: EnvironmentMap, rig: LightRig | None = None, *, method: str = "voronoi") -> np.ndarray:
    """Contact sheet of a map: the map, stops, 16x16 form, balls, spherical harmonics, and the lights of a rig.

    All pictures but the stops have the map at a mean luminance of 1, so that maps can be compared.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        sRGB.
    """
    scaled = EnvironmentMap(environment.radiance / np.float32(environment.mean_luminance), environment.name)
    resized = scaled.downsample(HEIGHT, WIDTH)
    panels = {
        environment.name: _mark_axes(_shown(resized.radiance)),
        "stops around the mean: 4 a band": _stops(resized),
        "16x16": _shown(_enlarged(scaled.downsample(16, 16).radiance)),
        "mirror ball and white ball, from the camera": _shown(lighting_ball(scaled, HEIGHT)),
        "spherical harmonics, order 2": _shown(np.maximum(evaluate_sh(project_sh(scaled, 2), HEIGHT, WIDTH), 0)),
        "spherical harmonics, order 4": _shown(np.maximum(evaluate_sh(project_sh(scaled, 4), HEIGHT, WIDTH), 0)),
    }
    if rig is not None:
        small = scaled.downsample(16, 16)
        panels[f"{counted(len(rig), 'light')} of '{rig.name}', {method}, from 16x16"] = _lights(small, rig, method)
        panels[f"{counted(len(rig), 'light')} of '{rig.name}', {method}, from the map"] = _lights(resized, rig, method)
    return contact_sheet(list(panels.values()), 2, list(panels))


def _shown(radiance: np.ndarray) -> np.ndarray:
    """Tone-mapped pixels."""
    return to_pixels(encode_ldr(SHOWN_LUMINANCE * radiance))


def _enlarged(radiance: np.ndarray) -> np.ndarray:
    """Every pixel of a small lat-long picture as a block of the panel's size."""
    rows = (np.arange(HEIGHT) * len(radiance)) // HEIGHT
    columns = (np.arange(WIDTH) * radiance.shape[1]) // WIDTH
    return radiance[rows[:, None], columns]


def _stops(environment: EnvironmentMap) -> np.ndarray:
    """Luminance in bands of four stops around the mean, dark to bright; black where there is no light."""
    light = luminance(environment.radiance)
    bands = np.floor(np.log2(np.maximum(light, 1e-30)) / 4).clip(-3, 4).astype(int) + 3
    return _with_legend(np.where((light > 0)[..., None], BANDS[bands], 0).astype(np.uint8))


def _with_legend(picture: np.ndarray) -> np.ndarray:
    """The colours of the bands in a row at the bottom, and where they meet, in stops from the mean."""
    wide, high, left = 40, 10, WIDTH - len(BANDS) * 40 - 8
    top = HEIGHT - high - 6
    picture[top - 16 : top + high + 2, left - 2 : left + len(BANDS) * wide + 2] = 24
    for band, colour in enumerate(BANDS):
        start = left + band * wide
        picture[top : top + high, start : start + wide] = colour
        if band:
            stops = f"{4 * (band - 3):+d}" if band != 3 else "mean"
            draw_text(picture, stops, (start - 3 * len(stops), top - 4), 0.35)
    return picture


def _lights(environment: EnvironmentMap, rig: LightRig, method: str) -> np.ndarray:
    """Every light's mean radiance over its cell, drawn over the cells, with a dot at each light."""
    weights = light_weights(environment, rig, method=method)
    cells = cell_matrix(rig, HEIGHT, WIDTH, method=method)
    areas = np.asarray(cells.sum(axis=1)).ravel()
    mean = weights / np.where(areas > 0, areas, 1)[:, None]
    pixels = np.asarray(cells.sum(axis=0)).ravel()
    picture = _shown((cells.T @ mean / pixels[:, None]).reshape(HEIGHT, WIDTH, 3))
    for u, v, lit in zip(*direction_to_uv(rig.directions), rig.enabled, strict=True):
        y, x = min(int(v * HEIGHT), HEIGHT - 2), min(int(u * WIDTH), WIDTH - 2)
        picture[y : y + 2, x : x + 2] = (255, 255, 255) if lit else (255, 0, 0)
    return picture


def _mark_axes(picture: np.ndarray) -> np.ndarray:
    """Names of the directions at the horizon, and a line along it."""
    out = picture.copy()
    out[HEIGHT // 2, ::8] = 255
    for text, share in (("+Z", 0.005), ("-X left", 0.25), ("-Z behind", 0.5), ("+X right", 0.75)):
        draw_text(out, text, (int(share * WIDTH), HEIGHT // 2 + 14), 0.4)
    return out
