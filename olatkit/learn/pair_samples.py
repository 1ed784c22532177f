"""From a pair as read to samples on the training device: relight, look through each view, encode."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from olatkit.learn.augment import View, find_occluded, view_flow, view_labels, view_light, view_pictures
from olatkit.learn.degrade import add_sensor_noise, jpeg_errors, round_to_8_bits
from olatkit.learn.pair_reading import PairRead
from olatkit.learn.relight_tiles import relight_tiles_on
from olatkit.learn.sample import Sample
from olatkit.learn.srgb import decode_srgb, encode_srgb


def make_samples(read: PairRead, size: int, device: torch.device | str = "cpu") -> Sample:
    """The wanted variants of a reading as a batch of S x S pictures on a device."""
    chosen = list(read.key.variants)
    views = [_within(read.views[number], read.window) for number in chosen]
    height, width = read.window[2:]
    plain = all(_is_plain(view, height, width, size) for view in views)
    lights = torch.from_numpy(np.ascontiguousarray(read.lights[chosen])).to(device).permute(0, 1, 4, 2, 3)
    full = read.arrays.tensor("full", device).permute(0, 3, 1, 2)
    labels = read.arrays.tensor("labels", device)
    flow = read.arrays.tensor("flow", device).permute(0, 3, 1, 2).to(torch.float32)
    if plain and "baked" in read.arrays:
        clean, targets = _stored_pictures(read, chosen, device)
    else:
        clean, targets = _pictures(_linear_pictures(read, chosen, device), views, size, plain)
    inputs = _degrade(clean, views)
    if plain:
        n = len(chosen)
        occluded = read.arrays.tensor("occluded", device)[:, None].to(torch.float32).expand(n, -1, -1, -1, -1)
        full_srgb = (full.to(torch.float32) / 255).expand(n, -1, -1, -1, -1)
        labels, flow = labels.expand(n, -1, -1, -1), flow.expand(n, -1, -1, -1, -1)
    else:
        flow = torch.stack([view_flow(flow, view, size) for view in views])
        occluded = find_occluded(flow)
        bright = full.to(torch.float32) / 255
        full_srgb = torch.stack([view_pictures(bright, view, size) for view in views])
        labels = torch.stack([view_labels(labels, view, size) for view in views])
        lights = torch.stack([view_light(light, view) for light, view in zip(lights, views, strict=True)])
    return Sample(
        input_srgb=inputs, clean_srgb=clean, target_srgb=targets, full_srgb=full_srgb, labels=labels,
        mask=(labels > 0).to(torch.float32)[:, :, None], flow=flow, occluded=occluded,
        input_light=lights[:, :2], target_light=lights[:, 2],
        pair=torch.full((len(chosen),), read.key.pair, dtype=torch.int64, device=device),
    )


def _linear_pictures(read: PairRead, chosen: Sequence[int], device: torch.device | str) -> Tensor:
    """Linear inputs and targets (n, 4, 3, h, w): t under i, t + 1 under j, t and t + 1 under k."""
    count = len(read.views)
    if "baked" in read.arrays:
        stored = read.arrays.tensor("baked", device)[list(chosen)].permute(0, 1, 4, 2, 3)
        return decode_srgb(stored.to(torch.float32) / 255)
    if "relit" in read.arrays:
        relit = read.arrays.tensor("relit", device)
    else:
        weights = read.arrays.tensor("weights", device)
        relit = torch.stack([
            relight_tiles_on(
                read.arrays.tensor(f"codes{step}", device), read.arrays.tensor(f"tiles{step}", device), weights[step],
                read.window,
            )
            for step in (0, 1)
        ])
    # Of each variant: t and t + 1 as inputs, t and t + 1 as targets.
    return relit.unflatten(1, (2, count)).permute(2, 1, 0, 3, 4, 5).flatten(1, 2)[list(chosen)]


def _stored_pictures(read: PairRead, chosen: Sequence[int], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Baked pictures as they are."""
    stored = read.arrays.tensor("baked", device)[list(chosen)].permute(0, 1, 4, 2, 3).to(torch.float32) / 255
    return stored[:, :2], stored[:, 2:]


def _pictures(linear: Tensor, views: Sequence[View], size: int, plain: bool) -> tuple[Tensor, Tensor]:
    """Encoded inputs without errors and targets, (n, 2, 3, S, S) each."""
    if not plain:
        linear = torch.stack([view_pictures(four, view, size) for four, view in zip(linear, views, strict=True)])
    encoded = encode_srgb(linear)
    return encoded[:, :2], encoded[:, 2:]


def _degrade(clean: Tensor, views: Sequence[View]) -> Tensor:
    """Inputs with what their views add; the same tensor if nothing is added."""
    if not any(view.degrades for view in views):
        return clean
    return torch.stack([_degraded(pair, view) for pair, view in zip(clean, views, strict=True)])


def _degraded(pair: Tensor, view: View) -> Tensor:
    """One sample's inputs (2, 3, S, S) through sensor, file and rounding."""
    if view.full_well:
        pair = encode_srgb(add_sensor_noise(decode_srgb(pair), view))
    if view.jpeg:
        return jpeg_errors(pair, view.jpeg)
    return round_to_8_bits(pair) if view.rounding else pair


def _within(view: View, window: tuple[int, int, int, int]) -> View:
    """The same view counted from the corner of a window."""
    return replace(view, top=view.top - window[0], left=view.left - window[1])


def _is_plain(view: View, height: int, width: int, size: int) -> bool:
    """True if a view shows the whole window as it is."""
    return not (view.flip or view.top or view.left) and view.side == height == width == size
