"""Write a studio made of numbers: a warm key light, a cool fill, a rim light and a dim room, as a lat-long map.

    python make_studio.py studio.exr
"""

import sys

import numpy as np

from olatkit.geometry import latlong_directions
from olatkit.io.images import write_exr

# Direction (+X right in the picture, +Y up, +Z to the camera), angular radius [deg], radiance R, G, B.
SOFTBOXES = (
    ((0.75, 0.5, 0.6), 17, (26, 21, 15)),
    ((-0.9, 0.1, 0.45), 26, (0.6, 1.0, 1.7)),
    ((-0.5, 0.45, -0.8), 14, (13, 14, 18)),
)


def studio(height: int = 128) -> np.ndarray:
    """Radiance of the studio, shape (height, 2 * height, 3), float32."""
    directions = latlong_directions(height, 2 * height)
    up = directions[..., 1:2]
    radiance = 0.03 + 0.06 * np.maximum(up, 0) + np.array([0.05, 0.035, 0.02]) * np.maximum(-up, 0)
    for centre, radius_deg, color in SOFTBOXES:
        cosine = directions @ (np.array(centre) / np.linalg.norm(centre))
        inside = np.degrees(np.arccos(np.clip(cosine, -1, 1))) < radius_deg
        radiance = radiance + inside[..., None] * np.array(color, float)
    return radiance.astype(np.float32)


if __name__ == "__main__":
    write_exr(sys.argv[1], studio(), overwrite=True)
