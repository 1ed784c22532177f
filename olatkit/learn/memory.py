"""Past batches for the critic, so that its several steps per step of the network cost no further passes of it."""

from collections import deque

import torch
from torch import Tensor

# Sources, targets, relit pictures (all times the mask) and lightings of one batch.
CriticBatch = tuple[Tensor, Tensor, Tensor, Tensor]


class CriticMemory:
    """The newest batches that the network saw and made, at most ``size`` of them, in half precision."""

    def __init__(self, size: int) -> None:
        self._batches: deque[CriticBatch] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, source: Tensor, target: Tensor, relit: Tensor, light: Tensor) -> None:
        """Keep a batch: pictures (B, 3, S, S) sRGB, lightings (B, 3, 16, 16) without gradients."""
        source, target, relit = (x.detach().to(torch.float16) for x in (source, target, relit))
        # Suns exceed what half precision holds.
        self._batches.append((source, target, relit, light.detach().float()))

    def batch(self, number: int) -> CriticBatch:
        """The batches in turn, newest first, float32."""
        source, target, relit, light = self._batches[-1 - number % len(self._batches)]
        return source.float(), target.float(), relit.float(), light

    def clear(self) -> None:
        """Forget everything: pictures of another size follow."""
        self._batches.clear()

    def state(self) -> list[list[Tensor]]:
        """Everything, for a checkpoint."""
        return [[x.cpu() for x in batch] for batch in self._batches]

    def restore(self, state: list[list[Tensor]], device: torch.device) -> None:
        """Take over the state of a checkpoint."""
        self._batches.clear()
        for source, target, relit, light in state:
            self._batches.append((source.to(device), target.to(device), relit.to(device), light.to(device)))
