"""What a network is trained with: two neighbouring instants of a take, each relit as it is seen and as it should be."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CLASSES = 19
LIGHT_SIZE = 16

# Sizes after the leading axes of a batch; S x S is the picture.
_SHAPES: dict[str, tuple[int | str, ...]] = {
    "input_srgb": (2, 3, "S", "S"),
    "clean_srgb": (2, 3, "S", "S"),
    "target_srgb": (2, 3, "S", "S"),
    "full_srgb": (2, 3, "S", "S"),
    "labels": (2, "S", "S"),
    "mask": (2, 1, "S", "S"),
    "flow": (2, 2, "S", "S"),
    "occluded": (2, 1, "S", "S"),
    "input_light": (2, 3, LIGHT_SIZE, LIGHT_SIZE),
    "target_light": (3, LIGHT_SIZE, LIGHT_SIZE),
    "pair": (),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """A pair of instants t and t + 1 with lightings, or a batch of them.

    Every field is a torch tensor. The first axis of most is time: index 0 is t, index 1 is t + 1. A batch has one more
    axis in front, of B samples. Pictures are channels first, sRGB encoded, 0 to 1.

    Parameters
    ----------
    input_srgb : tensor, shape (2, 3, S, S), float32
        What the network is shown: t under lighting i, t + 1 under lighting j; rounding, noise and JPEG errors are in
        it if augmentation puts them there.
    clean_srgb : tensor, shape (2, 3, S, S), float32
        The same pictures without those errors: truth of the self-reconstruction. The same tensor as ``input_srgb``
        when nothing was added.
    target_srgb : tensor, shape (2, 3, S, S), float32
        Both instants under lighting k.
    full_srgb : tensor, shape (2, 3, S, S), float32
        Both instants under uniform white light.
    labels : tensor, shape (2, S, S), uint8
        Parsing classes 0 to 18 in the order of CelebAMask-HQ, 0 is background; l and r are the picture's.
    mask : tensor, shape (2, 1, S, S), float32
        1 where the label is not background, else 0.
    flow : tensor, shape (2, 2, S, S), float32
        (dx, dy) [px]. ``flow[0]`` lies on the grid of t and points to t + 1 (forward); ``flow[1]`` lies on the grid
        of t + 1 and points to t (backward). A picture of t + 1 is brought to t by sampling it at x + flow[0](x).
    occluded : tensor, shape (2, 1, S, S), float32
        1 where the pixel of that grid has no counterpart in the other picture: hidden, or out of the frame.
    input_light : tensor, shape (2, 3, 16, 16), float32
        Lightings i and j, radiance, rows from the zenith to the nadir; mean luminance 1 before mixing.
    target_light : tensor, shape (3, 16, 16), float32
        Lighting k, of both targets.
    pair : tensor, shape (), int64
        Number of the pair in its data set, to look up subject and take.
    """

    input_srgb: "torch.Tensor"
    clean_srgb: "torch.Tensor"
    target_srgb: "torch.Tensor"
    full_srgb: "torch.Tensor"
    labels: "torch.Tensor"
    mask: "torch.Tensor"
    flow: "torch.Tensor"
    occluded: "torch.Tensor"
    input_light: "torch.Tensor"
    target_light: "torch.Tensor"
    pair: "torch.Tensor"

    def __post_init__(self) -> None:
        batch, size = tuple(self.pair.shape), self.input_srgb.shape[-1]
        if len(batch) > 1:
            raise ValueError(f"pair has shape {batch}, expected () of one sample or (B,) of a batch")
        for name, shape in _SHAPES.items():
            expected = batch + tuple(size if n == "S" else n for n in shape)
            found = tuple(getattr(self, name).shape)
            if found != expected:
                raise ValueError(f"{name} has shape {found}, expected {expected}")

    @property
    def batch(self) -> int | None:
        """Number of samples of a batch, None for a single sample."""
        return self.pair.shape[0] if self.pair.ndim else None

    @property
    def size(self) -> int:
        """Side S of the pictures [px]."""
        return int(self.input_srgb.shape[-1])

    def to(self, device: Any, *, non_blocking: bool = False) -> "Sample":
        """The same sample on another device."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)}
        return replace(self, **moved)

    def __getitem__(self, index: int | slice) -> "Sample":
        """One sample of a batch, or a smaller batch."""
        if self.batch is None:
            raise TypeError("this is a single sample, not a batch")
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self)})


def stack_samples(samples: Sequence[Sample]) -> Sample:
    """A batch of single samples of one size.

    Raises
    ------
    ValueError
        There is none, or one is itself a batch, or sizes differ.
    """
    import torch

    if not samples or any(sample.batch is not None for sample in samples):
        raise ValueError("expected at least one single sample, and no batches")
    if len({sample.size for sample in samples}) > 1:
        raise ValueError(f"samples have sizes {sorted({sample.size for sample in samples})}, expected one size")
    return Sample(**{name: torch.stack([getattr(sample, name) for sample in samples]) for name in _SHAPES})


def join_batches(batches: Sequence[Sample]) -> Sample:
    """One batch of several, in order."""
    import torch

    if not batches or any(batch.batch is None for batch in batches):
        raise ValueError("expected at least one batch, and no single samples")
    joined = {name: torch.cat([getattr(batch, name) for batch in batches]) for name in _SHAPES if name != "clean_srgb"}
    same = all(batch.clean_srgb is batch.input_srgb for batch in batches)
    clean = joined["input_srgb"] if same else torch.cat([batch.clean_srgb for batch in batches])
    return Sample(clean_srgb=clean, **joined)
