"""HDF5 chunks packed and unpacked outside HDF5, whose single lock would make all threads wait for one codec.

The bytes are those of HDF5's own filters, so that any HDF5 reader with the filter opens the files.
"""

import ctypes
import struct
import zlib
from functools import lru_cache
from typing import Any

import numpy as np

COMPRESSIONS = ("bitshuffle", "gzip", "none")
GZIP_LEVEL = 4


def filters(compression: str) -> dict[str, Any]:
    """Arguments of ``create_dataset`` for one of :data:`COMPRESSIONS`."""
    if compression == "bitshuffle":
        import hdf5plugin

        return dict(hdf5plugin.Bitshuffle(cname="lz4"))
    return {"gzip": {"compression": "gzip", "compression_opts": GZIP_LEVEL, "shuffle": True}, "none": {}}[compression]


def compression_of(dataset: Any) -> str:
    """Which of :data:`COMPRESSIONS` an open dataset was written with.

    Raises
    ------
    ValueError
        It has other filters.
    """
    found = sorted(dataset._filters)
    for compression, names in (("none", []), ("gzip", ["gzip", "shuffle"]), ("bitshuffle", ["32008"])):
        if found == names:
            return compression
    raise ValueError(f"filters {', '.join(found)} are unknown, expected those of {', '.join(COMPRESSIONS)}")


def pack(data: np.ndarray, compression: str) -> Any:
    """One chunk as HDF5 stores it, a buffer of bytes; releases the interpreter's lock while it works."""
    data = np.ascontiguousarray(data)
    if compression == "none":
        return data.tobytes()
    if compression == "gzip":
        shuffled = data.view(np.uint8).reshape(-1, data.itemsize).T
        return zlib.compress(shuffled.tobytes(), GZIP_LEVEL)
    library = _bitshuffle()
    if library is None:
        return _through_hdf5(data.shape, data.dtype, compression, data=data)
    block = library.bshuf_default_block_size(data.itemsize)
    room = np.empty(12 + library.bshuf_compress_lz4_bound(data.size, data.itemsize, block), np.uint8)
    # The filter's header: bytes of the data and of a block, both big-endian.
    room[:12] = np.frombuffer(struct.pack(">QI", data.nbytes, block * data.itemsize), np.uint8)
    used = library.bshuf_compress_lz4(data.ctypes.data, room.ctypes.data + 12, data.size, data.itemsize, block)
    if used < 0:
        raise RuntimeError(f"bitshuffle could not compress {data.nbytes} bytes (code {used})")
    return room[: 12 + used]


def unpack(packed: bytes | memoryview, out: np.ndarray, compression: str) -> None:
    """Fill ``out`` (contiguous) with the values of a chunk that :func:`pack` or HDF5 made.

    Raises
    ------
    ValueError
        The bytes are damaged or hold another number of values.
    """
    if compression == "none":
        if len(packed) != out.nbytes:
            raise ValueError(f"a chunk holds {len(packed)} bytes, expected {out.nbytes}")
        out[...] = np.frombuffer(packed, out.dtype).reshape(out.shape)
        return
    if compression == "gzip":
        try:
            plain = zlib.decompress(packed)
        except zlib.error as error:
            raise ValueError(f"a chunk is damaged: {error}") from error
        if len(plain) != out.nbytes:
            raise ValueError(f"a chunk holds {len(plain)} bytes, expected {out.nbytes}")
        out.view(np.uint8).reshape(-1, out.itemsize)[...] = np.frombuffer(plain, np.uint8).reshape(out.itemsize, -1).T
        return
    library = _bitshuffle()
    if library is None:
        out[...] = _through_hdf5(out.shape, out.dtype, compression, packed=packed)
        return
    size, block = struct.unpack(">QI", packed[:12]) if len(packed) >= 12 else (-1, 0)
    if size != out.nbytes or not 0 < block <= 1 << 20 or block % (8 * out.itemsize):
        raise ValueError(f"a chunk is damaged: its header says {size} bytes, expected {out.nbytes}")
    from olatkit.io.bit_planes import decode_blocks

    source, target = np.frombuffer(packed, np.uint8)[12:], out.reshape(-1).view(np.uint8)
    if not decode_blocks(source, block, out.itemsize, library.lz4_address, target):
        raise ValueError(f"a chunk is damaged: its {len(packed)} bytes do not decode to {size}")


@lru_cache(maxsize=1)
def _bitshuffle() -> Any:
    """The C library of the filter, or None where the platform's build does not show its functions."""
    import hdf5plugin

    try:
        library: Any = ctypes.CDLL(str(hdf5plugin.get_config().registered_filters["bshuf"]))
        size, pointer = ctypes.c_size_t, ctypes.c_void_p
        for name, result, arguments in (
            ("bshuf_default_block_size", size, [size]),
            ("bshuf_compress_lz4_bound", size, [size] * 3),
            ("bshuf_compress_lz4", ctypes.c_int64, [pointer, pointer, size, size, size]),
            ("LZ4_decompress_safe", ctypes.c_int, [pointer, pointer, ctypes.c_int, ctypes.c_int]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        library.lz4_address = ctypes.cast(library.LZ4_decompress_safe, ctypes.c_void_p).value
    except (OSError, AttributeError, KeyError):
        return None
    return library


def _through_hdf5(shape: Any, kind: Any, compression: str, *, data: Any = None, packed: Any = None) -> Any:
    """Pack ``data`` or unpack ``packed`` with HDF5's own filter, in a file that lives in memory."""
    import h5py

    with h5py.File("chunk", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("chunk", shape, kind, chunks=tuple(shape), **filters(compression))
        origin = (0,) * len(shape)
        if packed is None:
            dataset[...] = data
            file.flush()
            return dataset.id.read_direct_chunk(origin)[1]
        dataset.id.write_direct_chunk(origin, packed)
        try:
            return dataset[...]
        except OSError as error:
            raise ValueError(f"a chunk is damaged: {error}") from error
