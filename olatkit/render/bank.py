"""What goes into a lighting bank: the small forms of a map, the scene it shows, and which scenes are held out."""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import PurePath

import numpy as np

from olatkit.envmap import EnvironmentMap
from olatkit.io.banks import FINE_GRID, GRID, LightingBank
from olatkit.render.encodings import encode_ldr
from olatkit.render.pictures import contact_sheet

# Endings of file names that tell a variant, not a scene: city_4k, city-hdr, city_1k_latlong.
_VARIANT = re.compile(r"[-_. ]+(\d+k|\d+x\d+|hdri?|exr|latlong|lat-long|equirect(angular)?|env(map)?|probe)$")
# Maps of mean luminance 1 are shown at half of it, which the tone curve takes to middle grey.
SHOWN_LUMINANCE = 0.5


def make_entry(environment: EnvironmentMap) -> tuple[np.ndarray, np.ndarray, float]:
    """The small forms of a map.

    Returns
    -------
    lighting : ndarray, shape (16, 16, 3), float32
        Mean radiance of each cell, scaled.
    fine : ndarray, shape (64, 128, 3), float32
        The same on a finer grid, for turning.
    scale : float
        1 over the map's mean luminance: scaled maps have a mean luminance of 1 over the sphere.
    """
    scale = 1 / environment.mean_luminance
    # The coarse cells are whole groups of the fine ones, so that their means are those of the map itself.
    fine = environment.downsample(*FINE_GRID)
    lighting, fine_scaled = (
        (picture.radiance.astype(np.float64) * scale).astype(np.float32) for picture in (fine.downsample(*GRID), fine)
    )
    return lighting, fine_scaled, scale


def scene_name(name: str) -> str:
    """What a map shows, from its file name: ``outdoor/City_4k.hdr`` and ``city.exr`` are both ``city``."""
    scene = PurePath(name).stem.lower()
    while (shorter := _VARIANT.sub("", scene)) != scene and shorter:
        scene = shorter
    return scene


def hold_out(
    scenes: Sequence[str], share: float, *, seed: int = 0, always: Collection[str] = ()
) -> np.ndarray:
    """Choose maps for tests, by whole scenes.

    Parameters
    ----------
    scenes : sequence of str
        Scene of every map.
    share : float
        Share of the maps to hold out, from 0 to less than 1. Scenes are taken in an order that depends on their
        names and ``seed`` only, each if it still fits, so that most stay where they are when a bank grows.
    seed : int
        Another seed, another choice.
    always : collection of str
        Scenes to hold out in any case; they count.

    Returns
    -------
    ndarray of bool, shape (N,)
        At least one map stays for training.

    Raises
    ------
    ValueError
        A share out of range, a scene that does not exist, or nothing left for training.
    """
    counts = Counter(scenes)
    unknown = sorted(set(always) - set(counts))
    if not 0 <= share < 1:
        raise ValueError(f"share of maps held out is {share:g}, expected 0 or more and less than 1")
    if unknown:
        raise ValueError(f"no map shows the scene '{unknown[0]}'; there are {', '.join(sorted(counts)[:12])}")
    chosen, wanted = set(always), round(share * len(scenes))
    for scene in sorted(counts, key=lambda scene: hashlib.sha256(f"{seed}:{scene}".encode()).digest()):
        held = sum(counts[c] for c in chosen)
        if scene not in chosen and held + counts[scene] <= min(wanted, len(scenes) - 1):
            chosen.add(scene)
    test = np.array([scene in chosen for scene in scenes])
    if test.all():
        raise ValueError("every scene is held out, none is left for training")
    return test


def bank_sheet(bank: LightingBank, columns: int = 4) -> np.ndarray:
    """Contact sheet of a bank: each map beside its 16x16 form, sRGB uint8; held-out maps are marked '(test)'.

    All are at a mean luminance of 1, tone-mapped alike, so that only the shape of the light differs.
    """
    pictures = []
    for fine, lighting in zip(bank.fine, bank.lighting, strict=True):
        large = np.repeat(np.repeat(fine, 2, axis=0), 2, axis=1)
        cells = np.repeat(np.repeat(lighting, 8, axis=0), 8, axis=1)
        shown = [to_pixels(encode_ldr(SHOWN_LUMINANCE * picture)) for picture in (large, cells)]
        pictures.append(np.concatenate([shown[0], np.full((128, 2, 3), 24, np.uint8), shown[1]], axis=1))
    labels = [f"{name} (test)" if test else name for name, test in zip(bank.names, bank.test, strict=True)]
    return contact_sheet(pictures, columns, labels)


def to_pixels(encoded_srgb: np.ndarray) -> np.ndarray:
    """Encoded values in [0, 1] to uint8."""
    return np.round(np.asarray(encoded_srgb) * 255).astype(np.uint8)
