"""Relit pairs stored in shards, for machines whose disks cannot feed single lights."""

import hashlib
from pathlib import Path

import numpy as np

from olatkit.color import to_srgb8
from olatkit.io.shard_index import BANK
from olatkit.jobs.shard_pictures import Instant
from olatkit.jobs.shard_plan import SetPlan, ShardPlan
from olatkit.learn.lightings import draw_triplets, light_weights_of, lighting_matrix, maps_for, open_sampler
from olatkit.render.relight import relight
from olatkit.render.sampling import GRID
from olatkit.rig import LightRig

PIXELS = 1024  # of the subject, on which over-exposure is judged


class Baker:
    """Draws the lightings of a shard's pairs and relights them.

    ``lights`` (P, K, 3, 16, 16, 3) float32 holds the lightings i, j, k of what was baked so far.
    """

    def __init__(self, plan: SetPlan, shard: ShardPlan, rig: LightRig, kappa: float, folder: Path) -> None:
        config = plan.config
        entry = plan.takes[shard.take]
        self._sampler = open_sampler(folder / BANK, maps_for(entry.split), config.lighting)
        self._matrix, self._kappa, self._count, self._first = lighting_matrix(rig), kappa, config.bake, shard.first
        name = hashlib.sha256(entry.name.encode()).digest()[:8]
        self._seed = [config.seed, int.from_bytes(name, "little")]
        self.lights = np.zeros((shard.pairs, config.bake, 3, GRID, GRID, 3), np.float32)

    def bake(self, current: Instant, following: Instant) -> np.ndarray:
        """Pictures (K, 4, S, S, 3) uint8 sRGB of a pair: i at t, j at t + 1, k at t, k at t + 1."""
        rng = np.random.default_rng([*self._seed, current.index])
        lights = draw_triplets(self._sampler, rng, self._count, self._matrix, self._pixels(current))
        self.lights[current.index - self._first] = lights
        weights = light_weights_of(lights, self._matrix) * np.float32(self._kappa)  # (K, 3, L, 3)
        first = relight(current.radiance, np.concatenate([weights[:, 0], weights[:, 2]]))
        second = relight(following.radiance, np.concatenate([weights[:, 1], weights[:, 2]]))
        k = self._count
        return to_srgb8(np.stack([first[:k], second[:k], first[k:], second[k:]], axis=1))

    def _pixels(self, instant: Instant) -> np.ndarray:
        """Some of the subject's pixels under every light, (L, N, 3), times kappa."""
        y, x = np.nonzero(instant.matte > 127)
        step = max(1, len(y) // PIXELS)
        return instant.radiance[:, y[::step], x[::step]] * np.float32(self._kappa)
