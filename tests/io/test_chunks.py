"""Chunks packed outside HDF5 are HDF5's own bytes, and damage is found before the codec sees it."""

import contextlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.io import chunks
from olatkit.io.chunks import COMPRESSIONS, compression_of, filters, pack, unpack
from olatkit.io.hdf5_files import hdf5

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3))
kinds = st.sampled_from([np.uint8, np.uint16, np.float16, np.float32])


def picture(shape, kind, seed):
    return np.random.default_rng(seed).poisson(40, shape).astype(kind)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@settings(max_examples=25, deadline=None)
@given(shape=shapes, kind=kinds, seed=st.integers(0, 9))
def test_hdf5_reads_what_is_packed_and_the_other_way_round(compression, shape, kind, seed):
    data = picture(shape, kind, seed)
    packed = pack(data, compression)
    hdf5()
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", shape, kind, chunks=shape, **filters(compression))
        dataset.id.write_direct_chunk((0, 0, 0), packed)
        assert np.array_equal(dataset[...], data)
        other = file.create_dataset("y", data=data, chunks=shape, **filters(compression))
        file.flush()
        out = np.empty_like(data)
        unpack(other.id.read_direct_chunk((0, 0, 0))[1], out, compression)
        assert np.array_equal(out, data)
        assert compression_of(dataset) == compression


def test_bitshuffle_gives_the_bytes_of_the_filter():
    data = picture((60, 70, 3), np.uint16, 0)
    fast = bytes(pack(data, "bitshuffle"))
    assert fast == chunks._through_hdf5(data.shape, data.dtype, "bitshuffle", data=data)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("count", [8, 63, 64, 72, 4096, 4099, 40_000])
def test_bits_are_joined_whatever_is_left_over(kind, count):
    """Vectors hold 32 or 64 bytes, blocks some thousand values, and fewer than eight are stored as they are."""
    data = np.frombuffer(np.random.default_rng(count).bytes(count * np.dtype(kind).itemsize), kind)
    out = np.empty_like(data)
    unpack(bytes(pack(data, "bitshuffle")), out, "bitshuffle")
    assert out.tobytes() == data.tobytes()


def test_without_the_library_hdf5_does_the_work(monkeypatch):
    data = picture((60, 70, 3), np.uint16, 0)
    expected = bytes(pack(data, "bitshuffle"))
    monkeypatch.setattr(chunks, "_bitshuffle", lambda: None)
    assert bytes(pack(data, "bitshuffle")) == expected
    out = np.empty_like(data)
    unpack(expected, out, "bitshuffle")
    assert np.array_equal(out, data)
    with pytest.raises(ValueError, match="damaged"):
        unpack(expected[:12] + b"\xff" * (len(expected) - 12), out, "bitshuffle")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_cut_chunk_is_refused(compression):
    data = picture((30, 31, 3), np.uint16, 1)
    packed = bytes(pack(data, compression))
    for end in (0, 5, 12, 15, len(packed) // 2, len(packed) - 1):
        with pytest.raises(ValueError, match="chunk"):
            unpack(packed[:end], np.empty_like(data), compression)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 10_000), value=st.integers(0, 255))
def test_any_flipped_byte_is_refused_or_harmless_but_never_crashes(at, value):
    data = picture((30, 31, 3), np.uint16, 1)
    packed = bytearray(pack(data, "bitshuffle"))
    packed[at % len(packed)] = value
    with contextlib.suppress(ValueError):
        unpack(bytes(packed), np.empty_like(data), "bitshuffle")
