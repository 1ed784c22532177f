"""Pixels of the packed Phantom formats to uint16 and back: compiled kernels that release the interpreter lock.

P10: four pixels of 10 bits in five bytes. P12L: two pixels of 12 bits in three bytes. The most significant bits
come first in both; rows follow each other without padding.

Indices are unsigned because numba would test signed ones for being negative, which stops vectorisation.
"""

import numba
import numpy as np

_U16, _U64 = np.uint16, np.uint64


@numba.njit(nogil=True, cache=True)
def unpack_p12l(packed, out):
    """Write the pixels of ``packed`` (3 n,) uint8 to ``out`` (2 n,) uint16, values 0 to 4095."""
    for k in range(out.size // 2):
        i, j = _U64(3) * _U64(k), _U64(2) * _U64(k)
        b0, b1, b2 = _U16(packed[i]), _U16(packed[i + _U64(1)]), _U16(packed[i + _U64(2)])
        out[j] = _U16(b0 << _U16(4)) | _U16(b1 >> _U16(4))
        out[j + _U64(1)] = _U16(_U16(b1 & _U16(15)) << _U16(8)) | b2


@numba.njit(nogil=True, cache=True)
def unpack_p10(packed, table, out):
    """Write ``table`` (1024,) uint16 of every code of ``packed`` (5 n,) uint8 to ``out`` (4 n,) uint16."""
    whole = out.size // 16  # sixteen pixels are five words of 32 bits, and four of 64: fewer loads and stores
    words, fours = packed[: 20 * whole].view(np.uint32), out[: 16 * whole].view(np.uint64)
    for k in range(whole):
        i, j = _U64(5) * _U64(k), _U64(4) * _U64(k)
        a, b, c = _swap(words[i]), _swap(words[i + _U64(1)]), _swap(words[i + _U64(2)])
        d, e = _swap(words[i + _U64(3)]), _swap(words[i + _U64(4)])
        fours[j] = _look_up_four(a << _U64(8) | b >> _U64(24), table)
        fours[j + _U64(1)] = _look_up_four((b & _U64(0xFFFFFF)) << _U64(16) | c >> _U64(16), table)
        fours[j + _U64(2)] = _look_up_four((c & _U64(0xFFFF)) << _U64(24) | d >> _U64(8), table)
        fours[j + _U64(3)] = _look_up_four((d & _U64(0xFF)) << _U64(32) | e, table)
    for k in range(4 * whole, out.size // 4):
        group = _U64(0)
        for byte in packed[5 * k : 5 * k + 5]:
            group = group << _U64(8) | _U64(byte)
        four = _look_up_four(group, table)
        for n in range(4):
            out[4 * k + n] = _U16(four >> _U64(16 * n))


@numba.njit(nogil=True, cache=True, inline="always")
def _swap(word):
    """Reverse the four bytes of a little-endian word, as uint64."""
    w = _U64(word)
    return (
        w >> _U64(24) | (w >> _U64(8) & _U64(0xFF00)) | (w << _U64(8) & _U64(0xFF0000)) | (w & _U64(0xFF)) << _U64(24)
    )


@numba.njit(nogil=True, cache=True, inline="always")
def _look_up_four(group, table):
    """Table values of the four 10-bit codes in ``group`` (40 bits), 16 bits each, the first one lowest."""
    mask = _U64(1023)
    p0, p1 = _U64(table[group >> _U64(30)]), _U64(table[group >> _U64(20) & mask])
    p2, p3 = _U64(table[group >> _U64(10) & mask]), _U64(table[group & mask])
    return p0 | p1 << _U64(16) | p2 << _U64(32) | p3 << _U64(48)


@numba.njit(nogil=True, cache=True)
def pack_p12l(pixels, out):
    """Write ``pixels`` (2 n,) uint16, values 0 to 4095, to ``out`` (3 n,) uint8."""
    for k in range(pixels.size // 2):
        i, j = _U64(2) * _U64(k), _U64(3) * _U64(k)
        a, b = pixels[i], pixels[i + _U64(1)]
        out[j] = a >> _U16(4)
        out[j + _U64(1)] = (a & _U16(15)) << _U16(4) | b >> _U16(8)
        out[j + _U64(2)] = b & _U16(255)


@numba.njit(nogil=True, cache=True)
def pack_p10(pixels, table, out):
    """Write the codes that ``table`` (4096,) uint16 gives for ``pixels`` (4 n,) uint16 to ``out`` (5 n,) uint8."""
    for k in range(pixels.size // 4):
        a, b = table[pixels[4 * k]], table[pixels[4 * k + 1]]
        c, d = table[pixels[4 * k + 2]], table[pixels[4 * k + 3]]
        out[5 * k] = a >> 2
        out[5 * k + 1] = (a & 3) << 6 | b >> 4
        out[5 * k + 2] = (b & 15) << 4 | c >> 6
        out[5 * k + 3] = (c & 63) << 2 | d >> 8
        out[5 * k + 4] = d & 255
