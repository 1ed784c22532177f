"""A take of the simulated head for benchmarks: exact pictures plus the noise of a sensor, without a capture."""

import sys
from pathlib import Path

import cv2
import numpy as np

from olatkit.io import codes as radiance_codes
from olatkit.io.banks import LightingBank, write_bank
from olatkit.io.take_writing import ImagesetRows, TakeHeader, merge_parts, write_part
from olatkit.rig import default_rig
from olatkit.simulate.subject import Subject

FULL_WELL_E, READ_NOISE_E = 20000, 20


def make_take(path: Path, size: int, imagesets: int, *, seed: int = 1) -> None:
    """Write a take of 114 lights at 25 imagesets per second; the pictures are dark outside the dilated silhouette.

    Noise is that of a sensor of 20,000 electrons and 20 electrons of read noise, blended of two looks.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    rig, subject = default_rig(), Subject(seed, (size, size), speed_px=60 * size / 256)
    header = TakeHeader(rig, None, (size, size), (0, 0, size, size), 25.0)
    rng, exposure, parts = np.random.default_rng(seed), None, []
    for i in range(imagesets):
        view, alpha = subject.view(i / 25), subject.alpha(i / 25)
        images = subject.olat(view, rig.directions)
        exposure = exposure or np.float32(0.6 / np.percentile(images[:, alpha > 0.5], 99.5))
        images *= exposure
        variance = np.maximum(images, 0) / FULL_WELL_E + (READ_NOISE_E / FULL_WELL_E) ** 2
        images += rng.standard_normal(images.shape, np.float32) * np.sqrt(np.float32(2 / 3) * variance)
        images *= cv2.dilate((alpha > 0).astype(np.uint8), np.ones((9, 9), np.uint8))[..., None]
        codes, _ = radiance_codes.encode(images)
        lights = len(rig)
        rows = ImagesetRows(
            images.sum(0), np.zeros(lights, np.uint8), np.zeros((lights, 2), np.int32), np.full(lights, 0.5, np.float32),
            80 + 40 * i, 80 + 40 * i, i / 25, {},
        )
        parts.append(path.with_suffix(f".{i}.part"))
        write_part(parts[-1], codes, rows, header, "benchmark")
        print(f"rendered {i + 1} of {imagesets} imagesets of {size} x {size}", file=sys.stderr, flush=True)
    merge_parts(parts, path, header)
    for part in parts:
        part.unlink()


def make_bank(path: Path, maps: int = 16) -> Path:
    """Write a bank of random maps with a few bright spots, a quarter of them held out."""
    if not path.exists():
        rng = np.random.default_rng(0)
        fine = 0.3 + 40 * rng.random((maps, 64, 128, 3), np.float32) ** 24
        names = tuple(f"map{i:02d}" for i in range(maps))
        test = np.arange(maps) % 4 == 3
        coarse = fine.reshape(maps, 16, 4, 16, 8, 3).mean((2, 4))
        write_bank(path, LightingBank(coarse, fine, np.ones(maps), names, names, test, ("",) * maps, ("",) * maps))
    return path
