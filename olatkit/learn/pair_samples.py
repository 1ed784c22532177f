"""From pairs as read to a batch on the training device: relight, look through each view, encode."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from olatkit.learn.augment import View, find_occluded, view_flow, view_labels, view_light, view_pictures
from olatkit.learn.degrade import add_sensor_noise, jpeg_errors, round_to_8_bits
from olatkit.learn.pair_reading import PairRead
from olatkit.learn.relight_tiles import relight_tiles_on
from olatkit.learn.sample import LIGHT_SIZE, Sample
from olatkit.learn.srgb import bytes_to_planes, decode_srgb, encode_srgb
from olatkit.learn.used_memory import empty_tensor

Device = torch.device | str


def make_batch(parts: Sequence[tuple[PairRead, Sequence[int]]], size: int, device: Device = "cpu") -> Sample:
    """A batch of S x S pictures on a device: of every reading some of its variants, in order.

    All tensors are made once and filled in place, which is most of what the training process has to do.
    """
    views = [_within(read.views[number], read.window) for read, chosen in parts for number in chosen]
    slots = _Slots(len(views), size, device)
    at = 0
    for read, chosen in parts:
        slots.fill(read, chosen, views[at : at + len(chosen)], at)
        at += len(chosen)
    return slots.finish(views)


class _Slots:
    """The tensors of a batch while they are filled."""

    def __init__(self, count: int, size: int, device: Device) -> None:
        def room(*shape: int, kind: torch.dtype = torch.float32) -> Tensor:
            if torch.device(device).type == "cpu":
                return empty_tensor((count, *shape), kind)
            return torch.empty(count, *shape, dtype=kind, device=device)

        self.size, self.device = size, device
        self.clean, self.target, self.full = (room(2, 3, size, size) for _ in range(3))
        self.labels, self.flow = room(2, size, size, kind=torch.uint8), room(2, 2, size, size)
        self.occluded, self.light = room(2, 1, size, size), room(3, 3, LIGHT_SIZE, LIGHT_SIZE)
        self.pair = room(kind=torch.int64)
        self.changed: list[int] = []  # samples whose flow is not as it was stored

    def fill(self, read: PairRead, chosen: Sequence[int], views: Sequence[View], first: int) -> None:
        """Fill the samples from number ``first`` on with variants of a reading."""
        height, width = read.window[2:]
        arrays, device = read.arrays, self.device
        full, labels = arrays.tensor("full", device), arrays.tensor("labels", device)
        flow = arrays.tensor("flow", device).permute(0, 3, 1, 2)
        occluded = arrays.tensor("occluded", device)
        lights = torch.from_numpy(read.lights).to(device).permute(0, 1, 4, 2, 3)
        linear = None if "baked" in arrays else _relit(read, device)
        like: int | None = None  # a sample of this reading that was not changed: others copy what they share
        for at, (number, view) in enumerate(zip(chosen, views, strict=True), start=first):
            plain = not (view.flip or view.top or view.left) and view.side == height == width == self.size
            self.labels[at] = view_labels(labels, view, self.size)
            self.light[at] = view_light(lights[number], view)
            self.pair[at] = read.key.pair
            if plain and like is not None:
                for shared in (self.full, self.flow, self.occluded):
                    shared[at] = shared[like]
            elif plain:
                bytes_to_planes(full, self.full[at])
                self.flow[at], self.occluded[at, :, 0] = flow, occluded
                like = at
            else:
                self.full[at] = view_pictures(bytes_to_planes(full), view, self.size)
                self.flow[at] = view_flow(flow.to(torch.float32), view, self.size)
                self.changed.append(at)
            if linear is not None:
                count = len(read.views)
                self._encode([linear[step, light] for light in (number, number + count) for step in (0, 1)], view, at)
            elif plain:
                stored = arrays.tensor("baked", device)[number]
                bytes_to_planes(stored[:2], self.clean[at])
                bytes_to_planes(stored[2:], self.target[at])
            else:
                self._encode(bytes_to_planes(arrays.tensor("baked", device)[number], linear=True), view, at)

    def _encode(self, linear: Sequence[Tensor] | Tensor, view: View, at: int) -> None:
        """Four linear pictures (3, h, w), t and t + 1 as inputs and as targets, through a view."""
        slots = (self.clean[at, 0], self.clean[at, 1], self.target[at, 0], self.target[at, 1])
        for picture, slot in zip(linear, slots, strict=True):
            encode_srgb(view_pictures(picture, view, self.size), slot)

    def finish(self, views: Sequence[View]) -> Sample:
        """What needs all samples: occlusion of changed flow, errors on inputs, masks."""
        if self.changed:
            self.occluded[self.changed] = find_occluded(self.flow[self.changed])
        inputs = self.clean
        if any(view.degrades for view in views):
            inputs = self.clean.clone()
            for at, view in enumerate(views):
                if view.degrades:
                    inputs[at] = _degraded(self.clean[at], view)
        return Sample(
            input_srgb=inputs, clean_srgb=self.clean, target_srgb=self.target, full_srgb=self.full, labels=self.labels,
            mask=self.labels.clamp(max=1).to(torch.float32)[:, :, None], flow=self.flow, occluded=self.occluded,
            input_light=self.light[:, :2], target_light=self.light[:, 2], pair=self.pair,
        )


def _relit(read: PairRead, device: Device) -> Tensor:
    """Linear pictures (2, 2V, 3, h, w): t and t + 1, each under the lightings i or j and then k of all variants."""
    if "relit" in read.arrays:
        return read.arrays.tensor("relit", device)
    weights = read.arrays.tensor("weights", device)
    return torch.stack([
        relight_tiles_on(
            read.arrays.tensor(f"codes{step}", device), read.arrays.tensor(f"tiles{step}", device), weights[step],
            read.window,
        )
        for step in (0, 1)
    ])


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
