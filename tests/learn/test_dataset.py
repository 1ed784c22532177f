"""Samples are what the kernels say, from single lights and from baked pairs."""

import itertools
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loader_checks import same, samples_of
from small_shards import SIZE

import olatkit
from olatkit.color import decode_srgb, encode_srgb
from olatkit.io.banks import read_bank
from olatkit.io.codes import BLACK, decode
from olatkit.learn.augment import AugmentConfig
from olatkit.learn.dataset import ShardDataset
from olatkit.learn.lightings import BURNT_SHARE, burnt_share, draw_triplets, light_weights_of, lighting_matrix
from olatkit.learn.loader import ShardLoader
from olatkit.learn.pair_reading import covering_window
from olatkit.learn.relight_tiles import decode_on, relight_tiles, relight_tiles_on
from olatkit.learn.sample import join_batches, stack_samples
from olatkit.learn.shared_arrays import make_arrays
from olatkit.learn.srgb import decode_srgb as decode_tensor
from olatkit.learn.srgb import encode_srgb as encode_tensor
from olatkit.learn.used_memory import empty_tensor
from olatkit.render.relight import relight
from olatkit.render.sampling import LightingSampler

torch.set_num_threads(1)
EIGHT_BITS = 0.51 / 255


def test_a_sample_is_relit_from_its_own_lightings(shard_folder):
    """Also the pair across the edge of two shards."""
    data = olatkit.ShardDataset(shard_folder, split="train")
    assert len(data) == 12
    for index in (0, 2, 11):
        sample, pair = data[index], data.pair(index)
        for step in (0, 1):
            reader, row = data.shards.locate(pair.take, pair.first + step)
            for light, picture in (
                (sample.input_light[step], sample.input_srgb[step]), (sample.target_light, sample.target_srgb[step]),
            ):
                weights = light_weights_of(light.permute(1, 2, 0).numpy(), lighting_matrix(reader.header.rig))
                linear = reader.header.kappa * relight(reader.read_radiance(row), weights)
                expected = encode_srgb(np.clip(linear, 0, 1))
                np.testing.assert_allclose(picture.permute(1, 2, 0).numpy(), expected, atol=5e-6)
            full = sample.full_srgb[step].permute(1, 2, 0).numpy() * 255
            np.testing.assert_allclose(full, reader.read("full", row), atol=1e-4)
            np.testing.assert_array_equal(sample.labels[step].numpy(), reader.read("parse", row))
            np.testing.assert_array_equal(sample.mask[step, 0].numpy(), reader.read("parse", row) > 0)
        reader, row = data.shards.locate(pair.take, pair.first)
        for step, way in enumerate(("fw", "bw")):
            flow = sample.flow[step].permute(1, 2, 0).numpy()
            np.testing.assert_array_equal(flow, reader.read(f"flow_{way}", row).astype(np.float32))
            np.testing.assert_array_equal(sample.occluded[step, 0].numpy(), reader.read(f"occ_{way}", row))
        assert int(sample.pair) == index
        assert sample.clean_srgb is sample.input_srgb or torch.equal(sample.clean_srgb, sample.input_srgb)


def test_lightings_have_the_means_of_the_sampler(shard_folder):
    """Eq. 9: L^i comes from the bank's maps for training; the held-out map is never used."""
    data = ShardDataset(shard_folder, "train", variants=8)
    bank = read_bank(shard_folder / "bank.h5")
    assert data.sampler.maps.shape[0] == len(bank.part("train")) == 3
    assert ShardDataset(shard_folder, "test").sampler.maps.shape[0] == 1
    assert ShardDataset(shard_folder, "test", maps="train").sampler.maps.shape[0] == 3
    batch = next(iter(ShardLoader(data, 8)))
    for first, second in itertools.pairwise(range(8)):
        assert not torch.equal(batch.target_light[first], batch.target_light[second])


def test_baked_samples_are_those_from_lights(shard_folder):
    """The same pair under the stored lightings, to the rounding of 8 bits."""
    baked, olat = ShardDataset(shard_folder, "train", source="baked"), ShardDataset(shard_folder, "train")
    for index in (0, 2, 7):
        sample, other, pair = baked[index], olat[index], baked.pair(index)
        for name in ("full_srgb", "labels", "mask", "flow", "occluded", "pair"):
            assert torch.equal(getattr(sample, name), getattr(other, name))
        for step in (0, 1):
            reader, row = olat.shards.locate(pair.take, pair.first + step)
            for light, picture in (
                (sample.input_light[step], sample.input_srgb[step]), (sample.target_light, sample.target_srgb[step]),
            ):
                weights = light_weights_of(light.permute(1, 2, 0).numpy(), lighting_matrix(reader.header.rig))
                linear = reader.header.kappa * relight(reader.read_radiance(row), weights)
                expected = encode_srgb(np.clip(linear, 0, 1))
                np.testing.assert_allclose(picture.permute(1, 2, 0).numpy(), expected, atol=EIGHT_BITS)


def test_baked_and_relit_views_agree(shard_folder):
    """The same crops and mirrors: what differs is the lighting and the rounding of stored pictures."""
    config = AugmentConfig(noise=0, jpeg=0, rounding=0, flip=0.5)
    first = ShardDataset(shard_folder, "train", source="baked", augment=config, variants=2, crops=2)
    second = ShardDataset(shard_folder, "train", augment=config, variants=2, crops=2)
    a, b = (next(iter(ShardLoader(data, 8, shuffle=False))) for data in (first, second))
    for name in ("full_srgb", "labels", "mask", "flow", "occluded", "pair"):
        assert torch.equal(getattr(a, name), getattr(b, name))


def test_pictures_may_be_smaller_than_the_shards(shard_folder):
    """Reduced by area in linear light."""
    small, whole = ShardDataset(shard_folder, "train", size=SIZE // 2)[3], ShardDataset(shard_folder, "train")[3]
    linear = decode_srgb(whole.target_srgb.double().numpy())
    got = decode_srgb(small.target_srgb.double().numpy())
    assert got.shape[-1] == SIZE // 2
    # The filter of a bilinear reduction by two is wider than a mean of four pixels, so compare means over 8 x 8.
    mean = [x.reshape(2, 3, 2, x.shape[-1] // 2, 2, x.shape[-1] // 2).mean((3, 5)) for x in (linear, got)]
    np.testing.assert_allclose(*mean, atol=0.02)
    assert torch.equal(small.mask.unique(), torch.tensor([0.0, 1.0]))


def test_burnt_out_targets_are_drawn_again():
    """A bank whose maps burn out the subject by chance: far fewer targets than draws are burnt."""
    rng = np.random.default_rng(0)
    maps = rng.random((6, 16, 16, 3)).astype(np.float32)
    sampler = LightingSampler(maps)
    matrix = np.full((1, 256), 4 * np.pi / 256, np.float32)
    pixels = rng.uniform(0, 0.052, (1, 200, 3)).astype(np.float32)
    plain = sampler.sample(np.random.default_rng(1), 150).light_k
    chosen = draw_triplets(sampler, np.random.default_rng(1), 150, matrix, pixels)[:, 2]
    before, after = ((burnt_share(lights, matrix, pixels) > BURNT_SHARE).mean() for lights in (plain, chosen))
    assert before > 0.2
    assert after < before**3
    assert burnt_share(plain[:2], matrix, pixels[:, :0]).tolist() == [0, 0]


# ---------------------------------------------------------------- the sum of lights

@pytest.mark.parametrize("window", [(0, 0, 32, 32), (8, 16, 24, 16)])
def test_tiles_are_summed_as_whole_pictures(window):
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 4096, (12, 32, 32, 3)).astype(np.uint16)
    codes[:, 8:16, 16:24] = BLACK
    weights = rng.random((5, 12, 3)).astype(np.float32)
    top, left, h, w = window
    tiles = [(y, x) for y in range(4) for x in range(4)
             if (y, x) != (1, 2) and top <= 8 * y < top + h and left <= 8 * x < left + w]
    stack = np.stack([codes[:, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] for y, x in tiles])
    expected = relight(decode(codes), weights)[:, top : top + h, left : left + w].transpose(0, 3, 1, 2)
    out = np.full((5, 3, h, w), np.nan, np.float32)
    relight_tiles([(stack, np.array(tiles))], weights, window, out)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
    other = relight_tiles_on(
        torch.from_numpy(stack.view(np.int16)), torch.tensor(tiles), torch.from_numpy(weights), window
    )
    np.testing.assert_allclose(other.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_the_curve_on_a_device_is_the_table():
    codes = np.arange(4096, dtype=np.uint16)
    np.testing.assert_allclose(decode_on(torch.from_numpy(codes.view(np.int16))).numpy(), decode(codes), atol=1e-6)


def test_encoding_on_tensors_is_that_of_arrays():
    x = torch.cat([torch.linspace(-0.5, 1.5, 20001), torch.linspace(0, 0.004, 2001)])
    expected = encode_srgb(x.double().clamp(0, 1).numpy())
    np.testing.assert_allclose(encode_tensor(x).numpy(), expected, atol=1.5e-6)
    back = decode_tensor(encode_tensor(x)).numpy()
    np.testing.assert_allclose(back, x.clamp(0, 1).numpy(), atol=3e-6)


def test_codes_handed_on_give_the_samples_of_codes_summed(shard_folder):
    """What a GPU would be given, here on the CPU."""
    from olatkit.learn.order import ReadKey
    from olatkit.learn.pair_samples import make_batch

    data = ShardDataset(shard_folder, "train", variants=3, crops=2, augment=AugmentConfig(noise=0, jpeg=0, rounding=0))
    key = ReadKey(0, 0, 2, (0, 1, 2))
    a, b = (make_batch([(data.reader(relight=here).read(key), (0, 1, 2))], SIZE) for here in (True, False))
    for f in fields(a):
        np.testing.assert_allclose(getattr(a, f.name).numpy(), getattr(b, f.name).numpy(), atol=1e-5)


def test_only_tiles_of_the_window_are_read(shard_folder, monkeypatch):
    """Crop-aware: a loader of half-size crops asks for far fewer tiles than one of whole pictures."""
    from olatkit.io.shards import ShardReader

    counted = []
    original = ShardReader.read_tiles

    def count(self, index, tiles, out):
        counted.append(len(tiles))
        original(self, index, tiles, out)

    monkeypatch.setattr(ShardReader, "read_tiles", count)
    half = AugmentConfig(crop=(0.25, 0.25), least_mask=0, noise=0, jpeg=0)
    totals = []
    for augment in (None, half):
        counted.clear()
        samples_of(ShardLoader(ShardDataset(shard_folder, "train", augment=augment), 4), 12)
        totals.append(sum(counted))
    assert totals[1] < 0.5 * totals[0]


@given(st.lists(st.tuples(st.integers(0, 24), st.integers(0, 24), st.integers(1, 8)), min_size=1, max_size=4))
def test_a_window_covers_its_crops_and_is_made_of_tiles(crops):
    from olatkit.learn.augment import View

    views = [View(top, left, side) for top, left, side in crops]
    top, left, h, w = covering_window(views, 8)
    assert not any(value % 8 for value in (top, left, h, w))
    assert top + h <= 32
    assert left + w <= 32
    for view in views:
        assert top <= view.top
        assert view.top + view.side <= top + h
        assert left <= view.left
        assert view.left + view.side <= left + w


# ---------------------------------------------------------------- parts

def test_arrays_share_one_piece_of_memory():
    arrays = make_arrays({"a": ((2, 3), np.float32), "b": ((5,), np.uint8), "c": ((0, 4), np.uint16)})
    arrays.numpy("a")[...] = 1.5
    arrays.numpy("b")[...] = 7
    assert arrays.tensor("a", "cpu").tolist() == [[1.5] * 3] * 2
    assert arrays.tensor("b", "cpu").sum() == 35
    assert arrays.tensor("c", "cpu").shape == (0, 4)
    assert "a" in arrays
    assert "d" not in arrays


def test_samples_are_checked_and_stacked(shard_folder):
    sample = ShardDataset(shard_folder)[0]
    assert sample.batch is None
    assert sample.size == SIZE
    batch = stack_samples([sample, sample])
    assert batch.batch == 2
    assert same(batch[1], sample)
    assert batch.to("cpu").batch == 2
    values = {f.name: getattr(sample, f.name) for f in fields(sample)}
    with pytest.raises(ValueError, match=r"flow has shape \(2, 2, 8, 8\), expected \(2, 2, 32, 32\)"):
        type(sample)(**{**values, "flow": torch.zeros(2, 2, 8, 8)})
    with pytest.raises(ValueError, match="no batches"):
        stack_samples([batch])
    with pytest.raises(ValueError, match="no single samples"):
        join_batches([sample])
    with pytest.raises(TypeError, match="not a batch"):
        sample[0]


def test_memory_is_used_again_only_when_the_last_view_is_gone() -> None:
    first = empty_tensor((3, 70_000), torch.float32)
    assert first.shape == (3, 70_000)
    first[...] = 7
    place, part = first.data_ptr(), first[1]
    del first
    second = empty_tensor((3, 70_000), torch.float32)
    second[...] = 0
    assert second.data_ptr() != place
    assert part.eq(7).all()
    del part
    assert empty_tensor((200_000,), torch.float32).data_ptr() == place
