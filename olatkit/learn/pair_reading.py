"""What a reading process does: one pair of a shard set from disk, its views and lightings drawn, its lights unpacked."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from olatkit.io.codes import decode_table
from olatkit.io.shard_set import ShardSet
from olatkit.io.shards import ShardReader
from olatkit.learn.augment import AugmentConfig, View, draw_view
from olatkit.learn.lightings import draw_triplets, light_weights_of, lighting_matrix
from olatkit.learn.order import ReadKey
from olatkit.learn.relight_tiles import relight_tiles
from olatkit.learn.shared_arrays import SharedArrays, make_arrays
from olatkit.render.sampling import LightingSampler

PIXEL_STEP = 8  # every eighth pixel of the subject's tiles decides on over-exposure
_TABLE = decode_table()
_SCRATCH = threading.local()

Place = tuple[ShardReader, int]
Window = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class PairRead:
    """A pair as read: V variants of views and lightings over one window of pixels, h x w.

    ``arrays`` holds ``full`` (2, h, w, 3), ``labels`` (2, h, w), ``flow`` (2, h, w, 2), ``occluded`` (2, h, w), and
    one of: ``relit`` (2, 2V, 3, h, w) linear float32, first the inputs and then the targets of all variants;
    ``baked`` (V, 4, h, w, 3) sRGB; or ``codes0``, ``codes1`` (n, L, c, c, 3) and ``tiles0``, ``tiles1`` (n, 2), to be
    relit by ``weights`` (2, 2V, L, 3). ``lights`` (V, 3, 16, 16, 3) float32 are the lightings i, j, k.
    """

    key: ReadKey
    views: tuple[View, ...]
    window: Window
    lights: np.ndarray
    arrays: SharedArrays

    def pin_memory(self) -> "PairRead":
        """For copies to a GPU in the background."""
        return replace(self, arrays=self.arrays.pin_memory())


@dataclass(frozen=True, eq=False)
class PairReader:
    """Reads pairs of a shard set; safe to copy into other processes by fork or pickle.

    ``source`` is 'olat' or 'baked', ``variants`` the samples of one reading, of which ``crops`` have a crop of their
    own and the others share it; ``relight`` sums the lights where they are unpacked instead of handing on codes.
    """

    shards: ShardSet
    source: Literal["olat", "baked"]
    sampler: LightingSampler | None
    augment: AugmentConfig
    variants: int
    crops: int
    relight: bool

    def read(self, key: ReadKey) -> PairRead:
        """All variants of a pair; what is drawn depends on seed, epoch and pair alone."""
        pair = self.shards.pairs[key.pair]
        places = [self.shards.locate(pair.take, pair.first + step) for step in (0, 1)]
        labels = [reader.read("parse", row) for reader, row in places]
        rng = np.random.default_rng([key.seed, key.epoch, key.pair, 1])
        views = self._draw_views(rng, labels[0] > 0)
        window = covering_window(views, places[0][0].header.tile)
        if self.source == "baked":
            arrays, lights = self._read_baked(rng, places[0], window)
        else:
            arrays, lights = self._read_lights(rng, places, window, labels[0] > 0)
        _read_rest(places, window, labels, arrays)
        return PairRead(key, tuple(views), window, lights, arrays)

    def _draw_views(self, rng: np.random.Generator, mask: np.ndarray) -> list[View]:
        """A view for every variant; from number ``crops`` on, crops are shared in turn."""
        views: list[View] = []
        for number in range(self.variants):
            shared = views[number % self.crops] if number >= self.crops else None
            views.append(draw_view(rng, mask, self.augment, shared))
        return views

    def _read_baked(self, rng: np.random.Generator, place: Place, window: Window) -> tuple[SharedArrays, np.ndarray]:
        """Stored relit pictures: a random few of the triplets of this pair."""
        shard, row = place
        assert shard.baked_lights is not None
        count = shard.header.baked
        chosen = np.concatenate([rng.permutation(count) for _ in range(-(-self.variants // count))])[: self.variants]
        top, left, h, w = window
        arrays = make_arrays({**_shapes(window), "baked": ((self.variants, 4, h, w, 3), np.uint8)})
        for out, number in zip(arrays.numpy("baked"), chosen, strict=True):
            if (h, w) == (shard.header.size, shard.header.size):
                shard.read("baked", (row, int(number)), out)
            else:
                out[...] = shard.read("baked", (row, int(number)))[:, top : top + h, left : left + w]
        return arrays, shard.baked_lights[row, chosen]

    def _read_lights(
        self, rng: np.random.Generator, places: Sequence[Place], window: Window, mask: np.ndarray
    ) -> tuple[SharedArrays, np.ndarray]:
        """Only the tiles of the window that hold light; relit here, or handed on."""
        _, _, h, w = window
        tiles = [reader.stored_tiles(row, window) for reader, row in places]
        shapes = _shapes(window)
        kinds = [_codes_shape(reader, len(found)) for (reader, _), found in zip(places, tiles, strict=True)]
        if self.relight:
            arrays = make_arrays({**shapes, "relit": ((2, 2 * self.variants, 3, h, w), np.float32)})
        else:
            weights = ((2, 2 * self.variants, kinds[0][1], 3), np.float32)
            stored = {f"codes{step}": (kinds[step], np.uint16) for step in (0, 1)}
            where = {f"tiles{step}": (tiles[step].shape, np.int64) for step in (0, 1)}
            arrays = make_arrays({**shapes, **stored, **where, "weights": weights})
        lights, weights_of = np.zeros(0), np.zeros(0)
        for step, (reader, row) in enumerate(places):
            if step and self.relight:
                relight_tiles(reader.each_tile(row, tiles[1]), weights_of[1], window, arrays.numpy("relit")[1])
                continue
            codes = _scratch(kinds[step]) if self.relight else arrays.numpy(f"codes{step}")
            reader.read_tiles(row, tiles[step], codes)
            if step == 0:
                lights, weights_of = self._draw_lightings(rng, reader, codes, tiles[0], mask)
            if self.relight:
                relight_tiles([(codes, tiles[0])], weights_of[0], window, arrays.numpy("relit")[0])
            else:
                arrays.numpy(f"tiles{step}")[...] = tiles[step]
                arrays.numpy("weights")[step] = weights_of[step]
        return arrays, lights

    def _draw_lightings(
        self, rng: np.random.Generator, reader: ShardReader, codes: np.ndarray, tiles: np.ndarray, mask: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lightings (V, 3, 16, 16, 3) and weights (2, 2V, L, 3), kappa included: i and k at t, j and k at t + 1."""
        assert self.sampler is not None
        header = reader.header
        matrix, kappa = lighting_matrix(header.rig), np.float32(header.kappa)
        pixels = _TABLE[_some_codes(codes, tiles, mask)] * kappa
        lights = draw_triplets(self.sampler, rng, self.variants, matrix, pixels)
        weights = light_weights_of(lights, matrix) * kappa
        first, second = (np.concatenate([weights[:, source], weights[:, 2]]) for source in (0, 1))
        return lights, np.stack([first, second])


def covering_window(views: Sequence[View], tile: int) -> Window:
    """The smallest window of whole tiles that covers all crops, (top, left, height, width) [px]."""
    top = min(view.top for view in views) // tile * tile
    left = min(view.left for view in views) // tile * tile
    bottom = -(-max(view.top + view.side for view in views) // tile) * tile
    right = -(-max(view.left + view.side for view in views) // tile) * tile
    return top, left, bottom - top, right - left


def _shapes(window: Window) -> dict[str, tuple[tuple[int, ...], type]]:
    """What every reading holds besides relit pictures."""
    _, _, h, w = window
    return {
        "full": ((2, h, w, 3), np.uint8), "labels": ((2, h, w), np.uint8), "flow": ((2, h, w, 2), np.float16),
        "occluded": ((2, h, w), np.uint8),
    }


def _read_rest(
    places: Sequence[Place], window: Window, labels: Sequence[np.ndarray], arrays: SharedArrays
) -> None:
    """Fill in fully lit pictures, labels, flow and occlusion; the latter two lie in the shard of t."""
    top, left, h, w = window
    part = (slice(top, top + h), slice(left, left + w))
    first, pair = places[0]
    for step, (reader, row) in enumerate(places):
        way = ("fw", "bw")[step]
        arrays.numpy("full")[step] = reader.read("full", row)[part]
        arrays.numpy("labels")[step] = labels[step][part]
        arrays.numpy("flow")[step] = first.read(f"flow_{way}", pair)[part]
        arrays.numpy("occluded")[step] = first.read(f"occ_{way}", pair)[part]


def _codes_shape(reader: ShardReader, tiles: int) -> tuple[int, ...]:
    c = reader.header.tile
    return tiles, len(reader.header.rig), c, c, 3


def _some_codes(codes: np.ndarray, tiles: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Codes (L, N, 3) of some of the subject's pixels."""
    c = codes.shape[2]
    some = codes[:, :, ::PIXEL_STEP, ::PIXEL_STEP]
    steps = np.arange(0, c, PIXEL_STEP)
    y, x = tiles[:, 0, None, None] * c + steps[:, None], tiles[:, 1, None, None] * c + steps
    return some.transpose(1, 0, 2, 3, 4)[:, mask[y, x]]


def _scratch(shape: tuple[int, ...]) -> np.ndarray:
    """Room for codes that this thread keeps from one reading to the next: fresh memory would cost as much as a copy."""
    count = int(np.prod(shape))
    held = getattr(_SCRATCH, "codes", None)
    if held is None or held.size < count:
        held = _SCRATCH.codes = np.empty(count, np.uint16)
    return held[:count].reshape(shape)
