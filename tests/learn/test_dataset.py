"""The loader: every pair once, the same order whoever reads, resumed anywhere; samples are what the kernels say."""

import itertools
import multiprocessing
import pathlib
import pickle
import shutil
import subprocess
import sys
import time
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shards import SIZE, write_small_bank, write_small_set

import olatkit
from olatkit.color import decode_srgb, encode_srgb
from olatkit.errors import ConfigError, FormatError
from olatkit.io.banks import read_bank
from olatkit.io.codes import BLACK, decode
from olatkit.io.shard_index import read_index, write_index
from olatkit.learn.augment import AugmentConfig
from olatkit.learn.dataset import ShardDataset
from olatkit.learn.lightings import BURNT_SHARE, burnt_share, draw_triplets, light_weights_of, lighting_matrix
from olatkit.learn.loader import ShardLoader
from olatkit.learn.order import Order
from olatkit.learn.pair_reading import covering_window
from olatkit.learn.relight_tiles import decode_on, relight_tiles, relight_tiles_on
from olatkit.learn.sample import join_batches, stack_samples
from olatkit.learn.shared_arrays import make_arrays
from olatkit.learn.srgb import decode_srgb as decode_tensor
from olatkit.learn.srgb import encode_srgb as encode_tensor
from olatkit.render.relight import relight
from olatkit.render.sampling import LightingSampler

torch.set_num_threads(1)
EIGHT_BITS = 0.51 / 255


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three takes of 7 imagesets, in shards of 3, one held out; two baked triplets per pair."""
    return write_small_set(tmp_path_factory.mktemp("loader"), 3, 7, bake=2, splits={"test": ["take2"]})


def same(a, b):
    """Two samples are equal to the last bit."""
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def samples_of(loader, count):
    """The next ``count`` samples, one by one."""
    batches = itertools.islice(iter(loader), -(-count // loader.batch))
    return [batch[i] for batch in batches for i in range(batch.batch)][:count]


# ---------------------------------------------------------------- what a sample holds

def test_a_sample_is_relit_from_its_own_lightings(folder):
    """Also the pair across the edge of two shards."""
    data = olatkit.ShardDataset(folder, split="train")
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


def test_lightings_have_the_means_of_the_sampler(folder):
    """Eq. 9: L^i comes from the bank's maps for training; the held-out map is never used."""
    data = ShardDataset(folder, "train", variants=8)
    bank = read_bank(folder / "bank.h5")
    assert data.sampler.maps.shape[0] == len(bank.part("train")) == 3
    assert ShardDataset(folder, "test").sampler.maps.shape[0] == 1
    assert ShardDataset(folder, "test", maps="train").sampler.maps.shape[0] == 3
    batch = next(iter(ShardLoader(data, 8)))
    for first, second in itertools.pairwise(range(8)):
        assert not torch.equal(batch.target_light[first], batch.target_light[second])


def test_baked_samples_are_those_from_lights(folder):
    """The same pair under the stored lightings, to the rounding of 8 bits."""
    baked, olat = ShardDataset(folder, "train", source="baked"), ShardDataset(folder, "train")
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


def test_baked_and_relit_views_agree(folder):
    """The same crops and mirrors: what differs is the lighting and the rounding of stored pictures."""
    config = AugmentConfig(noise=0, jpeg=0, rounding=0, flip=0.5)
    first = ShardDataset(folder, "train", source="baked", augment=config, variants=2, crops=2)
    second = ShardDataset(folder, "train", augment=config, variants=2, crops=2)
    a, b = (next(iter(ShardLoader(data, 8, shuffle=False))) for data in (first, second))
    for name in ("full_srgb", "labels", "mask", "flow", "occluded", "pair"):
        assert torch.equal(getattr(a, name), getattr(b, name))


def test_pictures_may_be_smaller_than_the_shards(folder):
    """Reduced by area in linear light."""
    small, whole = ShardDataset(folder, "train", size=SIZE // 2)[3], ShardDataset(folder, "train")[3]
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
    relight_tiles(stack, np.array(tiles), weights, window, out)
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


def test_codes_handed_on_give_the_samples_of_codes_summed(folder):
    """What a GPU would be given, here on the CPU."""
    from olatkit.learn.order import ReadKey
    from olatkit.learn.pair_samples import make_batch

    data = ShardDataset(folder, "train", variants=3, crops=2, augment=AugmentConfig(noise=0, jpeg=0, rounding=0))
    key = ReadKey(0, 0, 2, (0, 1, 2))
    a, b = (make_batch([(data.reader(relight=here).read(key), (0, 1, 2))], SIZE) for here in (True, False))
    for f in fields(a):
        np.testing.assert_allclose(getattr(a, f.name).numpy(), getattr(b, f.name).numpy(), atol=1e-5)


def test_only_tiles_of_the_window_are_read(folder, monkeypatch):
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
        samples_of(ShardLoader(ShardDataset(folder, "train", augment=augment), 4), 12)
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


# ---------------------------------------------------------------- order

@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 9), st.booleans())
@settings(max_examples=60)
def test_ranks_share_every_epoch_without_doubles_and_without_rest(pairs, world, seed, shuffle):
    orders = [Order(pairs, seed, shuffle, rank, world) for rank in range(world)]
    keys = [list(order.keys(0, order.readings(3) * 2, 2)) for order in orders]
    for epoch in range(3):
        seen = sorted(key.pair for row in keys for key in row if key.epoch == epoch)
        assert seen == list(range(pairs))
    assert max(map(len, keys)) - min(map(len, keys)) <= 1
    for order, row in zip(orders, keys, strict=True):
        assert [order.epoch_of(i) for i in range(len(row))] == [key.epoch for key in row]


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 3), st.integers(0, 60), st.integers(1, 20))
@settings(max_examples=60)
def test_an_order_that_starts_later_is_the_rest_of_the_whole(pairs, variants, world, start, count):
    order = Order(pairs, 5, True, world - 1, world)

    def samples(first, stop):
        return [(key.epoch, key.pair, v) for key in order.keys(first, stop, variants) for v in key.variants]

    assert samples(start, start + count) == samples(0, start + count)[start:]
    endless = itertools.islice(order.keys(start, None, variants), 5)
    assert next(iter(endless)).variants[0] == start % variants


def test_epochs_and_seeds_differ_and_can_be_in_order():
    first, second = ([key.pair for key in Order(50, seed).keys(0, 100, 1)] for seed in (0, 1))
    assert first[:50] != first[50:] != second[50:]
    assert [key.pair for key in Order(5, shuffle=False).keys(0, 7, 1)] == [0, 1, 2, 3, 4, 0, 1]


def test_subjects_can_be_drawn_evenly():
    """One has thirty times as many pairs as the other."""
    order = Order(310, subjects=[0] * 300 + [1] * 10)
    drawn = np.array([key.pair for key in order.keys(0, 3100, 1)])
    assert 0.45 < (drawn >= 300).mean() < 0.55


def test_zero_one_and_two_workers_give_the_same_batches(folder):
    data = ShardDataset(folder, "train", variants=3, crops=2, augment=AugmentConfig())
    rows = [samples_of(ShardLoader(data, 4, workers=workers), 50) for workers in (0, 1, 2)]
    for row in rows[1:]:
        assert all(same(a, b) for a, b in zip(rows[0], row, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_may_be_started_in_any_way(folder, method):
    data = ShardDataset(folder, "train", variants=2)
    data[0]  # files are open
    a = samples_of(ShardLoader(data, 4), 20)
    b = samples_of(ShardLoader(data, 4, workers=2, start_method=method), 20)
    assert all(same(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("start", [0, 1, 4, 7, 24, 41])
def test_a_resumed_loader_goes_on_at_the_exact_sample(folder, start):
    """In the middle of a reading, of a batch, of an epoch (12 pairs, 3 samples each)."""
    data = ShardDataset(folder, "train", variants=3, augment=AugmentConfig())
    whole = samples_of(ShardLoader(data, 1), 52)
    rest = samples_of(ShardLoader(data, 5, start=start), 10)
    assert all(same(a, b) for a, b in zip(whole[start : start + 10], rest, strict=True))


def test_state_travels_to_another_loader(folder):
    data = ShardDataset(folder, "train", variants=2)
    loader = ShardLoader(data, 3, workers=1)
    batches = iter(loader)
    for _ in range(5):
        next(batches)
    assert loader.position == 15  # what the worker has read ahead does not count
    assert loader.epoch == 0
    state = loader.state_dict()
    expected = next(batches)
    other = ShardLoader(data, 3)
    other.load_state_dict(pickle.loads(pickle.dumps(state)))
    assert same(next(iter(other)), expected)
    with pytest.raises(ConfigError, match="variants is 5, the saved position belongs to 2"):
        ShardLoader(ShardDataset(folder, "train", variants=5), 3).load_state_dict(state)
    with pytest.raises(ConfigError, match="seed is 7, the saved position belongs to 0"):
        ShardLoader(ShardDataset(folder, "train", variants=2, seed=7), 3).load_state_dict(state)


def test_two_ranks_cover_each_pair_once_and_epochs_end(folder):
    data = ShardDataset(folder, "train", variants=2)
    pairs = []
    for rank in (0, 1):
        loader = ShardLoader(data, 5, rank=rank, world=2, epochs=1)
        batches = list(loader)
        assert [batch.batch for batch in batches] == [5, 5, 2]
        pairs += torch.cat([batch.pair for batch in batches]).tolist()
        assert loader.epoch == 1
        assert list(loader) == []
    assert sorted(pairs) == sorted([*range(12), *range(12)])


def test_a_torch_loader_of_ones_own_works(folder):
    data = ShardDataset(folder, "train")
    loader = torch.utils.data.DataLoader(data, batch_size=5, num_workers=1, collate_fn=stack_samples)
    batches = list(loader)
    assert [batch.batch for batch in batches] == [5, 5, 2]
    assert same(batches[1][2], data[7])
    assert join_batches(batches).batch == 12
    assert same(data[-1], data[11])
    with pytest.raises(IndexError, match="pair 12 is outside 0 to 11"):
        data[12]


def use_in_child(data, queue):
    queue.put(float(data[3].target_srgb.double().sum()))


def test_an_open_data_set_survives_a_fork(folder):
    data = ShardDataset(folder, "train")
    expected = float(data[3].target_srgb.double().sum())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=use_in_child, args=(data, queue)) for _ in range(2)]
    for child in children:
        child.start()
    assert [queue.get(timeout=60) for _ in children] == [expected] * 2
    assert float(data[3].target_srgb.double().sum()) == expected
    for child in children:
        child.join()


# ---------------------------------------------------------------- what is refused

def test_damage_is_one_line_also_from_a_worker(folder, tmp_path):
    copy = tmp_path / "s"
    shutil.copytree(folder, copy)
    for path in copy.glob("shard-*.h5"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
        path.write_bytes(data)
    for workers in (0, 1):
        with pytest.raises(FormatError, match=r"shard-\d+\.h5.*damaged") as caught:
            list(ShardLoader(ShardDataset(copy, "train"), 4, workers=workers, epochs=1))
        assert "\n" not in str(caught.value)


_READS_FOR_EVER = """
import multiprocessing, sys, time
from olatkit.learn.dataset import ShardDataset
from olatkit.learn.loader import ShardLoader

batches = iter(ShardLoader(ShardDataset(sys.argv[1]), 2, workers=2))
next(batches)
print(*(child.pid for child in multiprocessing.active_children()), flush=True)
time.sleep(600)
"""


def test_readers_end_when_the_training_is_killed(folder):
    command = [sys.executable, "-c", _READS_FOR_EVER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as training:
        readers = [int(word) for word in training.stdout.readline().split()]
        time.sleep(1)  # until they have read ahead and wait to hand it over
        training.kill()
    assert len(readers) == 2
    deadline = time.monotonic() + 60
    while any(_runs(pid) for pid in readers):
        assert time.monotonic() < deadline, readers
        time.sleep(0.1)


def _runs(pid):
    """Whether a process is there and not just a zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_wrong_requests_are_one_line(folder, tmp_path):
    for request, said in (
        (lambda: ShardDataset(folder, "night"), "no take in split 'night'"),
        (lambda: ShardDataset(folder, variants=1, crops=2), "variants >= crops"),
        (lambda: ShardDataset(folder, bank=tmp_path / "none.h5"), "no such file"),
        (lambda: ShardDataset(folder, bank=write_small_bank(tmp_path / "b.h5", 1)), "no map of the bank is for 'train'"),
        (lambda: ShardLoader(ShardDataset(folder), 0), "too small"),
    ):
        with pytest.raises((FormatError, ConfigError), match=said):
            request()
    plain = write_small_set(tmp_path / "plain", 1, 2)
    with pytest.raises(ConfigError, match="no baked pictures"):
        ShardDataset(plain, source="baked")
    write_index(plain, replace(read_index(plain), bank_sha256=""), overwrite=True)
    with pytest.raises(FormatError, match="no lighting bank beside the shards"):
        ShardDataset(plain)
    single = write_small_set(tmp_path / "single", 2, 1)
    with pytest.raises(ConfigError, match="has no pair"):
        ShardDataset(single)


def test_a_damaged_bank_is_noticed(tmp_path):
    folder = write_small_set(tmp_path / "set", 1, 2)
    bank = bytearray((folder / "bank.h5").read_bytes())
    bank[len(bank) // 2] ^= 1
    (folder / "bank.h5").write_bytes(bank)
    with pytest.raises(FormatError, match=r"bank\.h5: SHA-256 differs from the index"):
        ShardDataset(folder)
    ShardDataset(folder, bank=tmp_path / "set" / "maps.h5")


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


def test_samples_are_checked_and_stacked(folder):
    sample = ShardDataset(folder)[0]
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
