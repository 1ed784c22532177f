"""Light directions from photographs of real mirror balls, against published ones.

The balls are those of github.com/yxiong/PSBox (MIT licence): FOLDER is its folder ``data``, in which every
``LightProbe-N`` holds ``Image_*.JPG`` under one light each, ``ref.JPG`` with the room lit, and
``light_directions.txt``, three rows x, y, z with a column per light, which its author derived from circles marked by
hand. Where that file is missing only the balls are compared with each other.

    python benchmarks/mirror_balls.py [FOLDER]

Without FOLDER the balls of $OLATKIT_TEST_DATA/olat/psbox are used.
"""

import os
import sys
from pathlib import Path

import numpy as np

from olatkit.capture.probes import angles_deg
from olatkit.jobs.probes import find_light_directions


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("OLATKIT_TEST_DATA", "") + "/olat/psbox")
    balls = sorted(folder.glob("LightProbe-*"))
    if not balls:
        print(f"{folder}: no folder LightProbe-N; name the folder 'data' of PSBox")
        return
    print(f"{'angles in degrees':34}{'mean':>7}{'largest':>9}")
    published = []
    for ball in balls:
        if (ball / "light_directions.txt").is_file():
            published.append(np.loadtxt(ball / "light_directions.txt").T)
            found = find_light_directions([ball], pictures="Image_*.JPG", ball_picture="ref.JPG").rig.directions
            print_angles(f"{ball.name}, found to published", angles_deg(found, published[-1]))
    if len(balls) == 2:
        both = find_light_directions(balls, pictures="Image_*.JPG", ball_picture="ref.JPG")
        print_angles("found on one and on the other ball", 2 * both.spread_deg)  # each lies half of it from their mean
    if len(published) == 2:
        print_angles("published for one and the other", angles_deg(*published))


def print_angles(name: str, angles: np.ndarray) -> None:
    """One line of the table."""
    print(f"{name:34}{angles.mean():7.2f}{angles.max():9.2f}")


if __name__ == "__main__":
    main()
