"""The loader: every pair once, the same order whoever reads, resumed anywhere."""

import itertools
import multiprocessing
import pathlib
import pickle
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loader_checks import same, samples_of
from small_shards import write_small_bank, write_small_set

from olatkit.errors import ConfigError, FormatError
from olatkit.io.shard_index import read_index, write_index
from olatkit.learn.augment import AugmentConfig
from olatkit.learn.dataset import ShardDataset
from olatkit.learn.loader import ShardLoader
from olatkit.learn.order import Order
from olatkit.learn.sample import join_batches, stack_samples

torch.set_num_threads(1)


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


def test_zero_one_and_two_workers_give_the_same_batches(shard_folder):
    data = ShardDataset(shard_folder, "train", variants=3, crops=2, augment=AugmentConfig())
    rows = [samples_of(ShardLoader(data, 4, workers=workers), 50) for workers in (0, 1, 2)]
    for row in rows[1:]:
        assert all(same(a, b) for a, b in zip(rows[0], row, strict=True))


@pytest.mark.parametrize(("variants", "batch", "ahead", "start"), [
    pytest.param(1, 5, 1, 0, marks=pytest.mark.slow), (4, 1, 1, 2), (3, 7, 2, 1),
])
def test_readings_that_wait_for_a_slow_training_are_not_overwritten(shard_folder, variants, batch, ahead, start):
    """Reading processes use their memory again and again."""
    data = ShardDataset(shard_folder, "train", variants=variants)
    expected = samples_of(ShardLoader(data, batch, start=start), 40)
    found = []
    for sample in itertools.islice(ShardLoader(data, batch, workers=2, ahead=ahead, start=start), -(-40 // batch)):
        time.sleep(0.02)  # time enough to read all that they may
        found += [sample[i] for i in range(batch)]
    assert all(same(a, b) for a, b in zip(expected, found[:40], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_may_be_started_in_any_way(shard_folder, method):
    data = ShardDataset(shard_folder, "train", variants=2)
    data[0]  # files are open
    a = samples_of(ShardLoader(data, 4), 20)
    b = samples_of(ShardLoader(data, 4, workers=2, start_method=method), 20)
    assert all(same(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def data_and_samples(shard_folder):
    """A data set of 12 pairs with 3 samples each, and its first samples in their order."""
    data = ShardDataset(shard_folder, "train", variants=3, augment=AugmentConfig())
    return data, samples_of(ShardLoader(data, 1), 52)


@pytest.mark.parametrize("start", [0, 1, 4, 7, 24, 41])
def test_a_resumed_loader_goes_on_at_the_exact_sample(data_and_samples, start):
    """In the middle of a reading, of a batch, of an epoch."""
    data, whole = data_and_samples
    rest = samples_of(ShardLoader(data, 5, start=start), 10)
    assert all(same(a, b) for a, b in zip(whole[start : start + 10], rest, strict=True))


def test_state_travels_to_another_loader(shard_folder):
    data = ShardDataset(shard_folder, "train", variants=2)
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
        ShardLoader(ShardDataset(shard_folder, "train", variants=5), 3).load_state_dict(state)
    with pytest.raises(ConfigError, match="seed is 7, the saved position belongs to 0"):
        ShardLoader(ShardDataset(shard_folder, "train", variants=2, seed=7), 3).load_state_dict(state)


def test_two_ranks_cover_each_pair_once_and_epochs_end(shard_folder):
    data = ShardDataset(shard_folder, "train", variants=2)
    pairs = []
    for rank in (0, 1):
        loader = ShardLoader(data, 5, rank=rank, world=2, epochs=1)
        batches = list(loader)
        assert [batch.batch for batch in batches] == [5, 5, 2]
        pairs += torch.cat([batch.pair for batch in batches]).tolist()
        assert loader.epoch == 1
        assert list(loader) == []
    assert sorted(pairs) == sorted([*range(12), *range(12)])


def test_a_torch_loader_of_ones_own_works(shard_folder):
    data = ShardDataset(shard_folder, "train")
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


def test_an_open_data_set_survives_a_fork(shard_folder):
    data = ShardDataset(shard_folder, "train")
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

def test_damage_is_one_line_also_from_a_worker(shard_folder, tmp_path):
    copy = tmp_path / "s"
    shutil.copytree(shard_folder, copy)
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


@pytest.mark.slow
def test_readers_end_when_the_training_is_killed(shard_folder):
    command = [sys.executable, "-c", _READS_FOR_EVER, str(shard_folder)]
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


def test_wrong_requests_are_one_line(shard_folder, tmp_path):
    for request, said in (
        (lambda: ShardDataset(shard_folder, "night"), "no take in split 'night'"),
        (lambda: ShardDataset(shard_folder, variants=1, crops=2), "variants >= crops"),
        (lambda: ShardDataset(shard_folder, bank=tmp_path / "none.h5"), "no such file"),
        (
            lambda: ShardDataset(shard_folder, bank=write_small_bank(tmp_path / "b.h5", 1)),
            "no map of the bank is for 'train'",
        ),
        (lambda: ShardLoader(ShardDataset(shard_folder), 0), "too small"),
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
