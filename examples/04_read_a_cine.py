"""Look at the raw frames of a Phantom .cine file.

    python examples/04_read_a_cine.py [FOLDER] [CINE]

Without CINE the simulated take is read. Makes FOLDER/04_frames.png: tracking frame and single lights, demosaiced.
"""

import sys
from pathlib import Path

import numpy as np

import olatkit
from olatkit.color import to_srgb8
from olatkit.io.images import write_png
from olatkit.render.pictures import contact_sheet
from olatkit.vision.demosaic import demosaic

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
path = Path(sys.argv[2]) if len(sys.argv) > 2 else folder / "stage/take.cine"
if not path.exists():
    sys.exit(f"{path} is missing; run examples/01_simulate_and_ingest.py {folder} first, or name a file")
stream = olatkit.open_stream(path)
print(stream)
print(f"levels {stream.black_level:g} to {stream.white_level:g}, {stream.times_s[-1]:.3f} s from first to last frame")

# Dropped frames show in the timestamps, which tell the true rate too: files may name another.
if len(stream) > 1:
    steps = np.diff(stream.times_s)
    period = np.median(steps)
    print(f"{1 / period:.6g} frames/s, {(steps > 1.5 * period).sum()} gaps in {len(stream)} frames")

# Raw values are linear: subtract black, divide by full scale, interpolate the colours.
raw = stream.read(0, min(len(stream), 48)).astype(np.float32)
linear = (raw - stream.black_level) / (stream.white_level - stream.black_level)
if stream.bayer:
    linear = np.stack([demosaic(frame, stream.bayer) for frame in linear])
elif linear.ndim == 3:
    linear = np.repeat(linear[..., None], 3, axis=-1)

white = np.percentile(linear, 99.5)
sheet = contact_sheet([to_srgb8(np.clip(frame / white, 0, 1)) for frame in linear[:24]], 8)
write_png(folder / "04_frames.png", sheet, overwrite=True)
print(folder / "04_frames.png")
