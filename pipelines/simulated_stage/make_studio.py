"""Write a studio made of numbers: a key light, a fill, a rim light and a dim room, as a lat-long map.

    python make_studio.py studio.exr          the one of the pictures: warm key, cool fill
    python make_studio.py maps 12             a folder of twelve others, for a lighting bank
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from olatkit.geometry import latlong_directions
from olatkit.io.images import write_exr

# Direction (+X right in the picture, +Y up, +Z to the camera), angular radius [deg], radiance R, G, B.
Softbox = tuple[Sequence[float], float, Sequence[float]]
SOFTBOXES: tuple[Softbox, ...] = (
    ((0.75, 0.5, 0.6), 17, (26, 21, 15)),
    ((-0.9, 0.1, 0.45), 26, (0.6, 1.0, 1.7)),
    ((-0.5, 0.45, -0.8), 14, (13, 14, 18)),
)


def studio(softboxes: Sequence[Softbox] = SOFTBOXES, height: int = 128) -> np.ndarray:
    """Radiance of a studio, shape (height, 2 * height, 3), float32."""
    directions = latlong_directions(height, 2 * height)
    up = directions[..., 1:2]
    radiance = 0.03 + 0.06 * np.maximum(up, 0) + np.array([0.05, 0.035, 0.02]) * np.maximum(-up, 0)
    for centre, radius_deg, color in softboxes:
        cosine = directions @ (np.array(centre) / np.linalg.norm(centre))
        inside = np.degrees(np.arccos(np.clip(cosine, -1, 1))) < radius_deg
        radiance = radiance + inside[..., None] * np.array(color, float)
    return radiance.astype(np.float32)


def random_softboxes(rng: np.random.Generator) -> list[Softbox]:
    """Two to four softboxes anywhere above the floor: small ones bright, large ones dim, each of a tint of its own."""
    softboxes: list[Softbox] = []
    for _ in range(rng.integers(2, 5)):
        azimuth, height, radius_deg = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.9), rng.uniform(8, 30)
        across = np.sqrt(1 - height**2)
        color = rng.uniform(0.5, 1, 3) * rng.uniform(2, 8) * (30 / radius_deg) ** 2
        softboxes.append(((across * np.sin(azimuth), height, across * np.cos(azimuth)), radius_deg, color))
    return softboxes


def main(out: Path, count: int | None = None) -> None:
    """Write one map, or a folder of ``count`` maps that are the same in every run."""
    if count is None:
        write_exr(out, studio(), overwrite=True)
        return
    out.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        write_exr(out / f"studio{number:02d}.exr", studio(random_softboxes(np.random.default_rng(number))), overwrite=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
