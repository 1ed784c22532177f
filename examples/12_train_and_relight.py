"""A minute of training on the shards of the example before, and the network in use on single pictures.

    python examples/12_train_and_relight.py [FOLDER] [STEPS]

Makes FOLDER/run and FOLDER/12_relit.png: pictures as they go in, the light asked for, the network's answer, and the
truth, which is a sum of single-light images. So short a training learns the head and little of the light.
"""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

import olatkit
from olatkit.color import encode_srgb
from olatkit.io.images import write_png
from olatkit.render.pictures import contact_sheet

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
steps = sys.argv[2] if len(sys.argv) > 2 else "200"
if not (folder / "shards/index.json").exists():
    sys.exit(f"{folder}/shards is missing; run examples/11_shards.py {folder} first")

settings = {
    "variant": "tiny", "steps": steps, "stages": "[{size: 64, batch: 2, share: 1}]", "average": "0.98",
    "optimizer": "{learning_rate: 5.0e-4, ramp: 50}", "augment": "{crop: [1, 1], flip: 0, noise: 0, jpeg: 0}",
    "losses": "{structure: false, temporal: false, adversarial: false}",
}
subprocess.run(
    [sys.executable, "-m", "olatkit", "train", str(folder / "shards"), "-o", str(folder / "run"), "--overwrite",
     "--workers", "0", *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))], check=True,
)

# Single pictures under maps that were kept from the training: in go a picture and a light, out comes another picture.
# Backgrounds are not learned, so they are masked.
relighter = olatkit.Relighter.load(folder / "run")
dataset = olatkit.ShardDataset(folder / "shards", maps="test", size=64, variants=3, seed=1)
batch = next(iter(olatkit.ShardLoader(dataset, 3, shuffle=False)))
pictures = []
for n in range(3):
    frame, truth = (images[n, 0].permute(1, 2, 0).numpy() for images in (batch.input_srgb, batch.target_srgb))
    light, mask = (x.permute(1, 2, 0).numpy() for x in (batch.target_light[n], batch.mask[n, 0]))
    relit, _ = relighter(frame, light)
    shown = (frame, encode_srgb(np.clip(0.5 * light, 0, 1)), relit * mask, truth)
    pictures += [cv2.resize((255 * x).astype(np.uint8), (192, 192), interpolation=cv2.INTER_NEAREST) for x in shown]
labels = ["input", "light asked for", "network", "truth: sum of lights"] + 8 * [""]
write_png(folder / "12_relit.png", contact_sheet(pictures, 4, labels), overwrite=True)
print(folder / "12_relit.png")
