"""Shards: exact round trips, reads of windows, and damage found wherever it is."""

import multiprocessing
import os
import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shards import LIGHTS, SIZE, write_small_set, write_sphere_take

from olatkit.errors import FormatError
from olatkit.io.checksums import checksum
from olatkit.io.codes import BLACK, LAST, decode
from olatkit.io.hdf5_files import hdf5
from olatkit.io.shard_index import read_index
from olatkit.io.shard_set import ShardSet
from olatkit.io.shard_writing import ShardWriter
from olatkit.io.shards import PER_PAIR, ROWS, TYPES, ShardHeader, ShardReader
from olatkit.rig import default_rig


def header(count=2, pairs=2, *, size=32, tile=8, lights=5, baked=0, compression="bitshuffle") -> ShardHeader:
    return ShardHeader(
        default_rig(lights), "", "anna", "anna", 0, count, pairs, size, tile, 0.5, baked, compression, "digest", {}
    )


def random_content(h: ShardHeader, seed=0):
    """Arrays of every dataset; about half of the tiles are dark."""
    rng = np.random.default_rng(seed)
    out = {}
    for name in h.names:
        shape = h.shape(name)
        if TYPES[name] == np.float16:
            out[name] = rng.normal(0, 3, shape).astype(np.float16)
        else:
            out[name] = rng.integers(0, LAST + 1 if name == "olat" else 2, shape).astype(TYPES[name])
    grid = h.size // h.tile
    dark = np.kron(rng.random((grid, grid)) < 0.5, np.ones((h.tile, h.tile), bool))
    out["olat"][:, :, dark] = BLACK
    rows = {"quality": rng.integers(0, 63, (h.count, len(h.rig))).astype(np.uint8),
            "obs": rng.integers(-9, 99, (h.count, len(h.rig), 2)).astype(np.int32), "r": 40 * np.arange(h.count)}
    lights = rng.random((h.pairs, h.baked, 3, 16, 16, 3), np.float32) if h.baked and h.pairs else None
    return out, rows, lights, dark


def write(path, h, content):
    arrays, rows, lights, _ = content
    with ShardWriter(path, h) as writer:
        for t in range(h.count):
            writer.write_olat(t, arrays["olat"][t])
            for name in ("full", "parse", "mask"):
                writer.write(name, t, arrays[name][t])
        for t in range(h.pairs):
            for name in PER_PAIR:
                writer.write(name, t, arrays[name][t])
            for k in range(h.baked):
                writer.write("baked", (t, k), arrays["baked"][t, k])
        writer.finish(rows, lights)


# ---------------------------------------------------------------- round trips

@pytest.mark.parametrize("compression", ["bitshuffle", "gzip", "none"])
@pytest.mark.parametrize("count, pairs, baked", [(2, 2, 2), (1, 0, 0), (3, 2, 1), (1, 1, 0)])
def test_everything_comes_back_as_it_was(tmp_path, compression, count, pairs, baked):
    h = header(count, pairs, baked=baked, compression=compression)
    content = random_content(h)
    write(tmp_path / "s.h5", h, content)
    arrays, rows, lights, _ = content
    with ShardReader(tmp_path / "s.h5") as reader:
        for t in range(count):
            np.testing.assert_array_equal(reader.read_codes(t), arrays["olat"][t])
            np.testing.assert_array_equal(reader.read_radiance(t), decode(arrays["olat"][t]))
            for name in ("full", "parse", "mask"):
                np.testing.assert_array_equal(reader.read(name, t), arrays[name][t])
        for t in range(pairs):
            for name in PER_PAIR:
                np.testing.assert_array_equal(reader.read(name, t), arrays[name][t])
            for k in range(baked):
                np.testing.assert_array_equal(reader.read("baked", (t, k)), arrays["baked"][t, k])
        for name in ROWS:
            np.testing.assert_array_equal(reader.rows[name], rows[name])
        if lights is not None:
            np.testing.assert_array_equal(reader.baked_lights, lights)
        np.testing.assert_allclose(reader.header.rig.directions, h.rig.directions, atol=1e-15)


def test_stock_hdf5_reads_the_same_values(tmp_path):
    """Also the tiles that are not stored: their fill value is the code of no light."""
    h = header(baked=1)
    content = random_content(h)
    write(tmp_path / "s.h5", h, content)
    with hdf5().File(tmp_path / "s.h5") as file:
        for name, values in content[0].items():
            np.testing.assert_array_equal(file[name][()], values)


def test_equal_content_gives_equal_bytes_and_nothing_is_left(tmp_path):
    h = header()
    for name in ("a.h5", "b.h5"):
        write(tmp_path / name, h, random_content(h))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="reshape"), ShardWriter(tmp_path / "s.h5", header()) as writer:
        writer.write("full", 0, np.zeros((31, 32, 3), np.uint8))
    with ShardWriter(tmp_path / "s.h5", header()):
        pass  # never finished
    assert list(tmp_path.iterdir()) == []


@given(st.integers(0, 31), st.integers(0, 31), st.integers(1, 32), st.integers(1, 32))
@settings(max_examples=60, deadline=None)
def test_a_window_gets_the_tiles_that_it_touches_and_no_others(tmp_path_factory, top, left, height, width):
    height, width = min(height, 32 - top), min(width, 32 - left)
    path = tmp_path_factory.getbasetemp() / "window.h5"
    h = header(1, 0)
    content = random_content(h, 4)
    if not path.exists():
        write(path, h, content)
    with ShardReader(path) as reader:
        tiles = reader.stored_tiles(0, (top, left, height, width))
        out = np.empty((len(tiles), len(h.rig), h.tile, h.tile, 3), np.uint16)
        reader.read_tiles(0, tiles, out)
    seen = np.full(content[0]["olat"][0].shape, BLACK, np.uint16)
    touched = np.zeros((32, 32), bool)
    for (y, x), tile in zip(tiles * h.tile, out, strict=True):
        seen[:, y : y + h.tile, x : x + h.tile] = tile
        touched[y : y + h.tile, x : x + h.tile] = True
        assert max(0, y - top - height + 1, top - y - h.tile + 1, x - left - width + 1, left - x - h.tile + 1) == 0
    window = np.s_[:, top : top + height, left : left + width]
    np.testing.assert_array_equal(seen[window], content[0]["olat"][0][window])
    assert not touched[content[3]].any()


# ---------------------------------------------------------------- checksums and damage

@given(st.binary(min_size=0, max_size=400), st.data())
@settings(max_examples=200, deadline=None)
def test_any_flipped_bit_changes_the_checksum(data, choice):
    before = np.frombuffer(data, np.uint8).copy()
    after = before.copy()
    if len(after):
        after[choice.draw(st.integers(0, len(after) - 1))] ^= 1 << choice.draw(st.integers(0, 7))
        assert checksum(after) != checksum(before)
    assert checksum(np.append(before, np.uint8(0))) != checksum(before)


def read_everything(path):
    with ShardReader(path) as reader:
        h = reader.header
        for t in range(h.count):
            reader.read_codes(t)
            for name in ("full", "parse", "mask"):
                reader.read(name, t)
        for t in range(h.pairs):
            for name in PER_PAIR:
                reader.read(name, t)


def chunk_bytes(path, h):
    """Every byte that belongs to a stored chunk, as a mask over the file."""
    inside = np.zeros(path.stat().st_size, bool)
    with hdf5().File(path) as file:
        for name in h.names:
            def note(info):
                inside[info.byte_offset : info.byte_offset + info.size] = True
            file[name].id.chunk_iter(note)
    return inside


@pytest.mark.parametrize("compression", ["bitshuffle", "gzip", "none"])
@pytest.mark.parametrize("bytes_tried", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_a_flipped_byte_of_any_chunk_is_found_by_reading(tmp_path, compression, bytes_tried):
    h = header(1, 1, compression=compression)
    path = tmp_path / "s.h5"
    write(path, h, random_content(h))
    whole, rng = path.read_bytes(), np.random.default_rng(5)
    read_everything(path)
    for at in rng.choice(np.flatnonzero(chunk_bytes(path, h)), bytes_tried, replace=False):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"s\.h5.*damaged"):
            read_everything(path)


@pytest.mark.parametrize(("bytes_tried", "at_least"), [(50, 3), pytest.param(500, 50, marks=pytest.mark.slow)])
def test_a_flipped_byte_elsewhere_is_found_or_changes_nothing(tmp_path, bytes_tried, at_least):
    """Attributes, small datasets and HDF5's own structures: either the reader refuses, or all values are right."""
    h = header(1, 1)
    path = tmp_path / "s.h5"
    content = random_content(h)
    write(path, h, content)
    whole, rng = path.read_bytes(), np.random.default_rng(6)
    refused = 0
    for at in rng.choice(np.flatnonzero(~chunk_bytes(path, h)), bytes_tried, replace=False):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            with ShardReader(path) as reader:
                np.testing.assert_array_equal(reader.read_codes(0), content[0]["olat"][0])
                np.testing.assert_array_equal(reader.read("flow_fw", 0), content[0]["flow_fw"][0])
                assert reader.header.kappa == h.kappa
                np.testing.assert_array_equal(reader.rows["obs"], content[1]["obs"])
        except FormatError:
            refused += 1
    assert refused > at_least  # the rest is unused space of HDF5


def test_truncated_foreign_and_newer_files_are_one_line(tmp_path):
    h, path = header(), tmp_path / "s.h5"
    write(path, h, random_content(h))
    whole = path.read_bytes()
    for length in (0, 10, 4000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"s\.h5"):
            read_everything(path)
    path.write_bytes(b"hello" * 999)
    with pytest.raises(FormatError, match="damaged shard"):
        ShardReader(path)
    with hdf5().File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(FormatError, match="not a shard"):
        ShardReader(path)
    path.write_bytes(whole)
    with hdf5().File(path, "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(FormatError, match="version 99, this olatkit reads up to 1; update it"):
        ShardReader(path)
    with pytest.raises(FormatError, match="no such shard"):
        ShardReader(tmp_path / "none.h5")
    write_sphere_take(tmp_path / "t.olat.h5", 1)
    with pytest.raises(FormatError, match="not a shard"):
        ShardReader(tmp_path / "t.olat.h5")


def test_a_file_that_shrinks_while_it_is_open_is_noticed(tmp_path):
    h, path = header(), tmp_path / "s.h5"
    write(path, h, random_content(h))
    with ShardReader(path) as reader:
        os.truncate(path, 5000)
        with pytest.raises(FormatError, match="the file ends inside it"):
            reader.read_codes(1)


# ---------------------------------------------------------------- processes

def sum_codes(reader, out):
    out.put(int(reader.read_codes(0).sum()))


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_an_open_reader_may_be_taken_into_other_processes(tmp_path, method):
    h = header()
    content = random_content(h)
    write(tmp_path / "s.h5", h, content)
    reader = ShardReader(tmp_path / "s.h5")
    reader.read_codes(1)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=sum_codes, args=(reader, queue)) for _ in range(2)]
    for child in children:
        child.start()
    expected = int(content[0]["olat"][0].sum())
    assert int(reader.read_codes(0).sum()) == expected
    assert [queue.get(timeout=60) for _ in children] == [expected] * 2
    for child in children:
        child.join()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reader)).read_codes(1), reader.read_codes(1))


# ---------------------------------------------------------------- sets

@pytest.fixture(scope="module")
def shard_set(tmp_path_factory):
    return write_small_set(tmp_path_factory.mktemp("set"), takes=2, imagesets=7, splits={"test": ["take1"]})


def test_pairs_follow_each_other_within_takes_only(shard_set):
    shards = ShardSet(shard_set)
    assert [(p.take, p.first) for p in shards.pairs] == [(f"take{t}", i) for t in (0, 1) for i in range(6)]
    assert len(ShardSet(shard_set, "train")) == len(ShardSet(shard_set, "test")) == 6
    assert {p.take for p in ShardSet(shard_set, "test").pairs} == {"take1"}
    for pair in shards.pairs:  # also those whose second imageset lies in the next file
        (first, a), (second, b) = (shards.locate(pair.take, pair.first + step) for step in (0, 1))
        assert int(second.rows["r"][b]) - int(first.rows["r"][a]) == 40
        first.read("flow_fw", a)
    with pytest.raises(IndexError, match="no imageset 7"):
        shards.locate("take0", 7)


def test_few_files_are_open_at_once(shard_set, monkeypatch):
    monkeypatch.setattr("olatkit.io.shard_set.OPEN_FILES", 2)
    shards, whole = ShardSet(shard_set), ShardSet(shard_set)
    for _ in range(2):
        for pair in shards.pairs:
            (reader, row), (expected, place) = (s.locate(pair.take, pair.first) for s in (shards, whole))
            np.testing.assert_array_equal(reader.read("full", row), expected.read("full", place))
            assert sum(shards.reader(entry).is_open for entry in shards.index.shards_of(pair.take)) <= 2


def test_an_unknown_split_and_an_unfinished_set_say_so(shard_set, tmp_path):
    with pytest.raises(FormatError, match="no take in split 'night', it has test, train"):
        ShardSet(shard_set, "night")
    with pytest.raises(FormatError, match="no such folder"):
        ShardSet(tmp_path / "none")
    with pytest.raises(FormatError, match=r"no shard set \(it has no index.json\)"):
        ShardSet(tmp_path)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "plan.json").write_text("{}")
    with pytest.raises(FormatError, match="the build of this shard set has not ended"):
        ShardSet(tmp_path)


def test_an_index_and_files_that_disagree_are_noticed(shard_set, tmp_path):
    copy = tmp_path / "set"
    shutil.copytree(shard_set, copy)
    shards = read_index(copy).shards
    shutil.copyfile(copy / shards[3].file, copy / shards[0].file)
    with pytest.raises(FormatError, match=r"shard-00000\.h5: differs from .*index\.json.*: take take1 for take0"):
        ShardSet(copy).locate("take0", 0)
    (copy / shards[1].file).unlink()
    with pytest.raises(FormatError, match="no such shard"):
        ShardSet(copy).locate("take0", 3)


@pytest.mark.parametrize("change, said", [
    ('"version": 1', '"version": 7'), ('"format": "olatkit-shards"', '"format": "x"'), ('"takes"', '"cakes"'),
    ('"first": 3', '"first": 4'), ('"pairs": 3', '"pairs": 2'), ('"imagesets": 7', '"imagesets": 8'),
    ('"tile": 8', '"tiles": 8'), ("{", "["),
])
def test_a_damaged_index_is_one_line(shard_set, tmp_path, change, said):
    text = (shard_set / "index.json").read_text()
    assert change in text
    (tmp_path / "index.json").write_text(text.replace(change, said, 1))
    with pytest.raises(FormatError, match=r"index\.json") as caught:
        read_index(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_flipped_byte_of_the_index_is_found_or_changes_nothing(shard_set, tmp_path):
    """Also where the result is good JSON: a name, a split, a digit of a factor."""
    whole, index = (shard_set / "index.json").read_bytes(), read_index(shard_set)
    rng, refused = np.random.default_rng(7), 0
    for at in rng.integers(0, len(whole), 300):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        (tmp_path / "index.json").write_bytes(damaged)
        try:
            assert read_index(tmp_path) == index  # white space between values
        except FormatError:
            refused += 1
    assert refused > 200
    (tmp_path / "index.json").write_bytes(whole.replace(b'"split": "test"', b'"split": "tesu"'))
    with pytest.raises(FormatError, match="do not match the SHA-256 that it ends with"):
        read_index(tmp_path)


def test_sizes_are_those_of_the_take(shard_set):
    reader, _ = ShardSet(shard_set).locate("take0", 0)
    assert reader.header.shape("olat") == (3, LIGHTS, SIZE, SIZE, 3)
    assert reader.stored_tiles(0).shape[0] < (SIZE // 8) ** 2
