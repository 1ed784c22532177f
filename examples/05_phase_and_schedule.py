"""Find where the lighting cycle starts from nothing but the look of the frames.

    python examples/05_phase_and_schedule.py [FOLDER]

Makes FOLDER/05_phase.png: the brightness of every frame above, the score of every possible phase below.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

import olatkit
from olatkit.capture.clock import ticks_from_times
from olatkit.capture.moments import frame_features
from olatkit.capture.sync import find_phase
from olatkit.io.images import write_png

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
if not (folder / "stage/take.cine").exists():
    sys.exit(f"{folder}/stage/take.cine is missing; run examples/01_simulate_and_ingest.py {folder} first")
stream = olatkit.open_stream(folder / "stage/take.cine")
rig, schedule = olatkit.read_rig(folder / "stage/rig.json"), olatkit.read_schedule(folder / "stage/schedule.json")
print(schedule)

# Three numbers per frame: brightness, and its balance from left to right and from bottom to top.
features = frame_features(stream.read(0, len(stream)), black_level=stream.black_level, white_level=stream.white_level)
found = find_phase(features, ticks_from_times(stream.times_s, stream.frame_rate_hz), schedule, rig)
print(f"phase {found.phase}: score {found.score:.3f}, the next best {found.runner_up:.3f}")


def plot(values: np.ndarray, marked: np.ndarray, height: int = 160, width: int = 960) -> np.ndarray:
    """Bars of the values from their smallest upwards, marked ones in orange."""
    picture = np.full((height, width, 3), 250, np.uint8)
    low, high = min(values.min(), 0), values.max()
    edges = np.linspace(0, width, len(values) + 1).astype(int)
    for k, value in enumerate(values):
        top = round((height - 8) * (1 - (value - low) / (high - low))) + 8
        color = (217, 72, 15) if marked[k] else (90, 110, 130)
        cv2.rectangle(picture, (int(edges[k]), top), (int(edges[k + 1]) - 2, height), color, -1)
    return picture


slots = (np.arange(240) - found.phase) % schedule.cycle
frames = plot(features[:240, 0], np.isin(slots, schedule.tracking_slots))   # tracking frames in orange
scores = plot(found.scores, np.arange(schedule.cycle) == found.phase)       # the phase in orange
write_png(folder / "05_phase.png", np.vstack([frames, np.full((12, 960, 3), 255, np.uint8), scores]), overwrite=True)
print(folder / "05_phase.png")
