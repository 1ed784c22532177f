"""Show what a network has learned: a head under studios that it was not trained with.

    python show_training.py shards run learned.png

Every row is a frame: as it goes in, the lighting that is asked for, how the frame truly looks under it (the sum of its
OLAT images), what the network answers, and four times the difference. The answer is shown on the subject, before the
target's background: no loss looks at the background, so what the network puts there means nothing.
"""

import sys

import numpy as np
import torch

import olatkit
from olatkit.color import to_srgb8
from olatkit.io.images import write_png
from olatkit.learn.checkpoint import load_network
from olatkit.learn.measure import masked_rmse, psnr
from olatkit.render.pictures import contact_sheet

SIZE, ROWS, SCALE = 64, 4, 3


def draw(shards: str, run: str, out: str) -> None:
    """Write the picture and print how close answer and unchanged input are to the truth."""
    network = load_network(run)
    # The same few pairs again and again, every time under other lightings: those of the bank that are kept for tests.
    dataset = olatkit.ShardDataset(shards, maps="test", size=SIZE, variants=ROWS, seed=1)
    batch = next(iter(olatkit.ShardLoader(dataset, ROWS, shuffle=False)))
    source, target, mask = batch.input_srgb[:, 0], batch.target_srgb[:, 0], batch.mask[:, 0]
    with torch.no_grad():
        relit, _, _ = network(source, batch.target_light)
    pictures = []
    for n in range(ROWS):
        answer = target[n] + mask[n] * (relit[n] - target[n])
        light = to_srgb8(0.5 * batch.target_light[n].permute(1, 2, 0).numpy())
        shown = [_pixels(source[n]), light.repeat(SIZE // 16, 0).repeat(SIZE // 16, 1)]
        shown += [_pixels(picture) for picture in (target[n], answer, 4 * (target[n] - answer).abs())]
        pictures += [picture.repeat(SCALE, 0).repeat(SCALE, 1) for picture in shown]
    labels = ["input", "target light", "target", "network, on subject", "difference x 4"]
    write_png(out, contact_sheet(pictures, 5, labels + [""] * 5 * (ROWS - 1)), overwrite=True)
    for name, answer in (("network", relit), ("unchanged input", source)):
        print(f"{name}: {psnr(masked_rmse(mask, answer, target)).mean():.1f} dB against the truth, lights kept for tests")


def _pixels(picture: torch.Tensor) -> np.ndarray:
    """(3, S, S) from 0 to 1 to (S, S, 3) uint8."""
    return (255 * picture.clamp(0, 1)).round().to(torch.uint8).permute(1, 2, 0).numpy()


if __name__ == "__main__":
    draw(*sys.argv[1:4])
