"""The pictures of an evaluation: every imageset of some subjects under a source and a target light that are fixed."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from olatkit.io.shard_set import ShardSet
from olatkit.learn.augment import View, view_labels, view_pictures
from olatkit.learn.lightings import light_weights_of, lighting_matrix
from olatkit.learn.relight_tiles import relight_tiles
from olatkit.learn.srgb import encode_srgb
from olatkit.render.sampling import LightingSampler, draw_lightings


@dataclass(frozen=True, eq=False)
class Pictures:
    """K light pairs on one imageset.

    ``source``, ``target`` (K, 3, S, S) sRGB, not rounded; ``mask`` (K, 1, S, S), 1 on the subject; ``light``
    (K, 3, 16, 16) the target lighting, linear; ``maps`` (K, 2) and ``yaw_deg`` (K, 2) say which maps, how turned.
    """

    subject: str
    take: str
    imageset: int
    source: Tensor
    target: Tensor
    mask: Tensor
    light: Tensor
    maps: np.ndarray
    yaw_deg: np.ndarray


def draw_pairs(take: str, imageset: int, n_maps: int, *, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps (K, 2) and yaw [degrees] (K, 2) of source and target; they depend on the arguments alone.

    Any map under any turn, for source and target independently (distribution G; no point lights).
    """
    digest = hashlib.sha256(f"{seed}/{take}/{imageset}".encode()).digest()
    draw = draw_lightings(np.random.default_rng(list(digest)), count, n_maps)
    return draw.maps[:, [0, 2]], draw.yaw_deg[:, [0, 2]]


def relit_pictures(
    shards: ShardSet, sampler: LightingSampler, *, size: int, count: int = 1, seed: int = 0
) -> Iterator[Pictures]:
    """Relight every imageset of the shard set's takes under ``count`` light pairs, reduced to ``size`` pixels."""
    for take in shards.takes:
        for imageset in range(take.imagesets):
            maps, yaw = draw_pairs(take.name, imageset, len(sampler.maps), count=count, seed=seed)
            lights = np.stack([sampler.turned_maps(maps[:, n], yaw[:, n]) for n in (0, 1)]).astype(np.float32)
            linear, mask = _relight(shards, take.name, imageset, lights.reshape(-1, *lights.shape[2:]), size)
            srgb = encode_srgb(linear).unflatten(0, (2, count))
            light = torch.from_numpy(lights[1]).permute(0, 3, 1, 2).contiguous()
            yield Pictures(
                take.subject, take.name, imageset, srgb[0], srgb[1], mask.expand(count, -1, -1, -1), light, maps, yaw
            )


def _relight(
    shards: ShardSet, take: str, imageset: int, lights: np.ndarray, size: int
) -> tuple[Tensor, Tensor]:
    """Linear pictures (K, 3, S, S) under lightings (K, 16, 16, 3), times kappa, and the mask (1, 1, S, S)."""
    reader, row = shards.locate(take, imageset)
    header, full = reader.header, reader.header.size
    window = (0, 0, full, full)
    tiles = reader.stored_tiles(row, window)
    codes = np.empty((len(tiles), len(header.rig), header.tile, header.tile, 3), np.uint16)
    reader.read_tiles(row, tiles, codes)
    weights = light_weights_of(lights, lighting_matrix(header.rig)) * np.float32(header.kappa)
    out = np.empty((len(lights), 3, full, full), np.float32)
    relight_tiles([(codes, tiles)], weights, window, out)
    whole = View(0, 0, full)
    labels = view_labels(torch.from_numpy(reader.read("parse", row)), whole, size)
    return view_pictures(torch.from_numpy(out), whole, size), (labels > 0).to(torch.float32)[None, None]
