"""A sheet of pictures that shows what a network makes of a few samples."""

import numpy as np
import torch
from torch import Tensor

from olatkit.color import to_srgb8
from olatkit.learn.passes import Passes
from olatkit.learn.sample import CLASSES, Sample
from olatkit.learn.warp import visible_in_both, warp_to_other
from olatkit.render.pictures import contact_sheet

COLUMNS = (
    "input", "target", "relit", "own light", "difference", "labels", "parsing", "light in", "light found", "target light",
    "warp error",
)
# Differences are shown this much brighter.
GAIN = 4.0
# Pictures of fewer pixels are enlarged to about this side, so that one can see something.
SMALLEST = 128


@torch.no_grad()
def sample_sheet(passes: Passes, sample: Sample, rows: int = 4) -> np.ndarray:
    """One row per pair, frame t: what went in, what should come out, what came out.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        Columns as in ``COLUMNS``. Lightings are drawn as lat-long maps at half their radiance; ``difference`` is four
        times |target − relit|, ``warp error`` four times |f(Ĩ_{t+1}) − Ĩ_t| where both show the same point.
    """
    rows = min(rows, len(sample.pair))
    size = sample.size
    relit = passes.relit.unflatten(0, (-1, 2))
    mask = sample.mask[:, 0]
    visible = visible_in_both(sample.mask, sample.flow, sample.occluded)[:, 0]
    warp_error = visible * (warp_to_other(relit, sample.flow) - relit)[:, 0].abs()
    parsing = _classes(passes.parsing[::2]) if passes.parsing is not None else torch.zeros_like(sample.labels[:, 0])
    labels = sample.labels[:, 0]
    if passes.parsing is not None and passes.parsing.shape[1] == 1:
        labels = (labels != 0).to(labels.dtype)
    pictures = []
    for n in range(rows):
        pictures += [
            _picture(sample.input_srgb[n, 0]), _picture(sample.target_srgb[n, 0]), _picture(relit[n, 0]),
            _picture(passes.own[2 * n]),
            _picture(GAIN * mask[n] * (sample.target_srgb[n, 0] - relit[n, 0]).abs()),
            _label_colours(labels[n]), _label_colours(parsing[n]),
            _lighting(sample.input_light[n, 0], size), _lighting(passes.light[2 * n], size),
            _lighting(sample.target_light[n], size), _picture(GAIN * warp_error[n]),
        ]
    if size < SMALLEST:
        pictures = [p.repeat(SMALLEST // size, axis=0).repeat(SMALLEST // size, axis=1) for p in pictures]
    return contact_sheet(pictures, len(COLUMNS), list(COLUMNS) + [""] * (len(pictures) - len(COLUMNS)))


def _picture(image: Tensor) -> np.ndarray:
    """(3, S, S) from 0 to 1 to (S, S, 3) uint8."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def _lighting(light: Tensor, size: int) -> np.ndarray:
    """Radiance (3, 16, 16) as a lat-long picture of the given side."""
    pixels = to_srgb8(0.5 * light.permute(1, 2, 0).cpu().numpy())
    index = np.arange(size) * light.shape[-1] // size
    return pixels[index][:, index]


def _classes(logits: Tensor) -> Tensor:
    """The likeliest class of (N, K, S, S); with one channel foreground or not."""
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).to(torch.uint8)
    return logits.argmax(dim=1).to(torch.uint8)


def _label_colours(labels: Tensor) -> np.ndarray:
    """A colour per class (S, S) to (S, S, 3), background black."""
    hue = np.arange(CLASSES)[:, None] * 0.381966 + np.array([0, 1, 2]) / 3  # golden-ratio steps: neighbours differ
    colours = (127.5 + 100 * np.cos(2 * np.pi * hue)).astype(np.uint8)
    colours[0] = 0
    return colours[labels.cpu().numpy()]
