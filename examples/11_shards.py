"""From a take to training samples: shards, what is in them, and pairs relit under random lightings.

    python examples/11_shards.py [FOLDER]

Makes FOLDER/shards, FOLDER/11_shards.png (lights to labels and flow) and FOLDER/11_samples.png: each row is a sample,
two neighbouring frames under two lightings, both under a third one, and under white.
"""

import sys
from pathlib import Path

import numpy as np

import olatkit
from olatkit.io.banks import LightingBank, write_bank
from olatkit.io.images import write_png
from olatkit.io.shard_set import ShardSet
from olatkit.jobs.build_shards import build_shards
from olatkit.jobs.shard_plan import ShardConfig
from olatkit.jobs.show_shards import COLUMNS, pair_pictures
from olatkit.learn.augment import AugmentConfig
from olatkit.render.pictures import contact_sheet

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
if not (folder / "take.olat.h5").exists():
    sys.exit(f"{folder}/take.olat.h5 is missing; run examples/01_simulate_and_ingest.py {folder} first")
take = olatkit.open_take(folder / "take.olat.h5")

# Six made-up skies with a sun each; a real bank is made by `olatkit bank build`.
rng = np.random.default_rng(3)
fine = np.full((6, 64, 128, 3), 0.15, np.float32)
fine[:, :32] = rng.uniform(0.2, 0.9, (6, 1, 1, 3))
for sky in fine:
    row, column = rng.integers(12, 36), rng.integers(0, 120)
    sky[row : row + 6, column : column + 8] = rng.uniform(20, 60, 3)
coarse = fine.reshape(6, 16, 4, 16, 8, 3).mean((2, 4))
names = tuple(f"sky {i}" for i in range(6))
bank = LightingBank(coarse, fine, np.ones(6), names, names, np.arange(6) == 5, ("",) * 6, ("",) * 6)
write_bank(folder / "skies.h5", bank, overwrite=True)

size = min(take.shape) // 32 * 32
config = ShardConfig.model_validate({"size": size, "matte": False, "labels": {"parsing": "foreground"}})
build_shards([folder / "take.olat.h5"], folder / "shards", config, bank=folder / "skies.h5", overwrite=True)

shards = ShardSet(folder / "shards")
write_png(folder / "11_shards.png", contact_sheet(pair_pictures(shards, shards.takes[0], 0, 3.0), 6, list(COLUMNS)),
          overwrite=True)

dataset = olatkit.ShardDataset(folder / "shards", variants=4, crops=4, augment=AugmentConfig())
batch = next(iter(olatkit.ShardLoader(dataset, batch=4)))
pictures = [
    (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    for n in range(4) for image in (*batch.input_srgb[n], *batch.target_srgb[n], batch.full_srgb[n, 0])
]
labels = ["t under L^i", "t+1 under L^j", "t under L^k", "t+1 under L^k", "t under white"] * 4
write_png(folder / "11_samples.png", contact_sheet(pictures, 5, labels), overwrite=True)
print(folder / "11_shards.png", folder / "11_samples.png", sep="\n")
