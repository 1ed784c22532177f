"""Photographs of a Lambertian sphere under known lights, written as files of many kinds."""

from pathlib import Path

import numpy as np
import yaml

from olatkit.color import encode_srgb
from olatkit.geometry import fibonacci_directions
from olatkit.io.images import write_exr, write_png
from olatkit.io.light_lists import write_lp

SIZE = (40, 48)


def directions(count: int = 9) -> np.ndarray:
    """Lights on the camera's side."""
    return fibonacci_directions(3 * count)[fibonacci_directions(3 * count)[:, 2] > 0.2][:count]


def sphere(lights: np.ndarray, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Exact linear pictures (L, H, W, 3), at most 0.8."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    nx, ny = (x - width / 2) / (0.45 * height), -(y - height / 2) / (0.45 * height)
    inside = nx**2 + ny**2 < 1
    normals = np.stack([nx, ny, np.sqrt(np.where(inside, 1 - nx**2 - ny**2, 0))], -1) * inside[..., None]
    shading = np.maximum(np.einsum("hwk,lk->lhw", normals, lights), 0)
    return shading[..., None] * np.array([0.8, 0.6, 0.4])


def manifest(folder: Path, name: str = "manifest.yaml", *, pictures: dict | None = None, lights: dict | None = None) -> Path:
    """A manifest of 16-bit linear PNG pictures listed in ``lights.lp``, changed by what is given; None removes a key."""
    content = {
        "pictures": {
            "files": "light_*.png", "transfer": "linear", "black_level": 0, "white_level": 65535, **(pictures or {}),
        },
        "lights": {
            "source": "lights.lp", "axes": "x-right,y-up,z-to-camera", "unit": "direction", "order": "listed",
            "gains": "equal", **(lights or {}),
        },
    }
    content = {group: {k: v for k, v in keys.items() if v is not None} for group, keys in content.items()}
    path = folder / name
    path.write_text(yaml.safe_dump(content))
    return path


def write_photographs(folder: Path, linear: np.ndarray, lights: np.ndarray, *, black: int = 0) -> None:
    """16-bit linear PNG pictures and ``lights.lp``."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"light_{i:03d}.png" for i in range(len(linear))]
    for name, image in zip(names, linear, strict=True):
        write_png(folder / name, np.round(image * (65535 - black) + black).clip(0, 65535).astype(np.uint16), overwrite=True)
    write_lp(folder / "lights.lp", names, lights, overwrite=True)


def write_srgb(folder: Path, linear: np.ndarray, pattern: str = "light_{:03d}.png") -> None:
    """8-bit sRGB pictures."""
    for i, image in enumerate(linear):
        write_png(folder / pattern.format(i), np.round(encode_srgb(image) * 255).astype(np.uint8), overwrite=True)


def write_float(folder: Path, linear: np.ndarray) -> None:
    """EXR pictures."""
    for i, image in enumerate(linear):
        write_exr(folder / f"light_{i:03d}.exr", image.astype(np.float32), overwrite=True)
