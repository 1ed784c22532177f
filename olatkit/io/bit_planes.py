"""Chunks of the bitshuffle filter decoded: its LZ4 blocks by the filter's library, their bits by vectors of this processor.

A block holds the bits of n values sorted by their number: n bits 0, n bits 1 and so on, eight to a byte, lowest first.
Wheels of the filter put them back with the oldest vector instructions only. This module imports numba.
"""

from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# Bytes of a vector register: each takes its bit from a mask of as many bits.
LANES = 64 if llvmlite.binding.get_host_cpu_features().get("avx512bw") else 32


@intrinsic
def _bytes_of_bits(_typing: Any, bits: Any, first: Any, stride: Any, out: Any, place: Any) -> Any:
    """Put LANES bytes at ``out[place]``, bit b of them from the bits at ``bits[first + b * stride]``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, target = (context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 3))
        kind = ir.VectorType(ir.IntType(8), LANES)
        at, value = args[1], ir.Constant(kind, [0] * LANES)
        for b in range(8):
            row = builder.load(builder.bitcast(builder.gep(source, [at]), ir.IntType(LANES).as_pointer()), align=1)
            mask = builder.bitcast(row, ir.VectorType(ir.IntType(1), LANES))
            raised = builder.or_(value, ir.Constant(kind, [1 << b] * LANES))
            value = builder.select(mask, raised, value)
            at = builder.add(at, args[2])
        builder.store(value, builder.bitcast(builder.gep(target, [args[4]]), kind.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(bits, types.int64, types.int64, out, types.int64), generate


@intrinsic
def _call(_typing: Any, function: Any, source: Any, target: Any, size: Any, room: Any) -> Any:
    """``int function(source, target, size, room)`` at an address, with addresses of its buffers."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(integer, [pointer, pointer, integer, integer])
        buffers = [builder.inttoptr(value, pointer) for value in args[1:3]]
        sizes = [builder.trunc(value, integer) for value in args[3:]]
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), [*buffers, *sizes])

    return types.int32(*[types.int64] * 5), generate


@numba.njit(cache=True, nogil=True)
def decode_blocks(packed, block, itemsize, lz4, out):
    """Fill ``out`` with the bytes of the values of a chunk.

    ``packed`` is the chunk without the filter's header, ``block`` the bytes of a whole block, ``lz4`` the address of
    ``LZ4_decompress_safe``, ``out`` uint8. Returns False if the bytes are damaged: nothing outside is read or written.
    """
    bits, planes = np.empty(block, np.uint8), np.empty(block, np.uint8)
    at, done, source, target = np.int64(0), np.int64(0), np.int64(packed.ctypes.data), np.int64(bits.ctypes.data)
    while out.size - done >= 8 * itemsize:
        size = min(block, out.size - done)
        size -= size % (8 * itemsize)
        if at + 4 > packed.size:
            return False
        length = np.int64(0)
        for k in range(4):
            length = 256 * length + np.int64(packed[at + k])
        at += 4
        if length > packed.size - at:
            return False
        if _call(np.int64(lz4), source + at, target, length, np.int64(size)) != size:  # type: ignore[call-arg]
            return False
        at += length
        _join_bits(bits[:size], itemsize, planes, out[done : done + size])
        done += size
    if packed.size - at != out.size - done:
        return False
    out[done:] = packed[at:]  # fewer than eight values are stored as they are
    return True


@numba.njit(cache=True, nogil=True)
def _join_bits(bits, itemsize, planes, out):
    """Values of a block: byte k of each from eight rows of its bits, ``planes`` being room for these bytes."""
    count = out.size // itemsize
    if itemsize == 1:
        _join_plane(bits, out)
        return
    for k in range(itemsize):
        _join_plane(bits[k * count : (k + 1) * count], planes[k * count : (k + 1) * count])
    if itemsize == 2:
        low, high, pairs = planes[:count], planes[count : 2 * count], out.view(np.uint16)
        for i in range(count):
            pairs[i] = np.uint16(low[i]) | (np.uint16(high[i]) << np.uint16(8))
        return
    for k in range(itemsize):
        for i in range(count):
            out[i * itemsize + k] = planes[k * count + i]


@numba.njit(cache=True, nogil=True)
def _join_plane(bits, out):
    """Bytes from eight rows of bits; as many of either, a multiple of eight."""
    count, row = out.size, np.int64(out.size // 8)
    whole = count - count % LANES
    for i in range(0, whole, LANES):
        _bytes_of_bits(bits, np.int64(i // 8), row, out, np.int64(i))  # type: ignore[call-arg]
    for i in range(whole, count):
        value = np.uint8(0)
        for b in range(8):
            value |= ((bits[b * row + i // 8] >> np.uint8(i % 8)) & np.uint8(1)) << np.uint8(b)
        out[i] = value
