"""Pixels of the packed Phantom formats to uint16 and back: compiled kernels that release the interpreter lock.

P10: four pixels of 10 bits in five bytes. P12L: two pixels of 12 bits in three bytes. The most significant bits
come first in both; rows follow each other without padding.
"""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def unpack_p12l(packed, out):
    """Write the pixels of ``packed`` (3 n,) uint8 to ``out`` (2 n,) uint16, values 0 to 4095."""
    for i in range(out.size // 2):
        b0 = np.uint32(packed[3 * i])
        b1 = np.uint32(packed[3 * i + 1])
        b2 = np.uint32(packed[3 * i + 2])
        out[2 * i] = (b0 << 4) | (b1 >> 4)
        out[2 * i + 1] = ((b1 & 15) << 8) | b2


@numba.njit(nogil=True, cache=True)
def unpack_p10(packed, table, out):
    """Write ``table`` (1024,) uint16 of every code of ``packed`` (5 n,) uint8 to ``out`` (4 n,) uint16."""
    for i in range(out.size // 4):
        b0 = np.uint32(packed[5 * i])
        b1 = np.uint32(packed[5 * i + 1])
        b2 = np.uint32(packed[5 * i + 2])
        b3 = np.uint32(packed[5 * i + 3])
        b4 = np.uint32(packed[5 * i + 4])
        out[4 * i] = table[(b0 << 2) | (b1 >> 6)]
        out[4 * i + 1] = table[((b1 & 63) << 4) | (b2 >> 4)]
        out[4 * i + 2] = table[((b2 & 15) << 6) | (b3 >> 2)]
        out[4 * i + 3] = table[((b3 & 3) << 8) | b4]


@numba.njit(nogil=True, cache=True)
def pack_p12l(pixels, out):
    """Write ``pixels`` (2 n,) uint16, values 0 to 4095, to ``out`` (3 n,) uint8."""
    for i in range(pixels.size // 2):
        a = np.uint32(pixels[2 * i])
        b = np.uint32(pixels[2 * i + 1])
        out[3 * i] = a >> 4
        out[3 * i + 1] = ((a & 15) << 4) | (b >> 8)
        out[3 * i + 2] = b & 255


@numba.njit(nogil=True, cache=True)
def pack_p10(pixels, table, out):
    """Write the codes ``table`` (4096,) uint16 gives for ``pixels`` (4 n,) uint16 to ``out`` (5 n,) uint8."""
    for i in range(pixels.size // 4):
        a = np.uint32(table[pixels[4 * i]])
        b = np.uint32(table[pixels[4 * i + 1]])
        c = np.uint32(table[pixels[4 * i + 2]])
        d = np.uint32(table[pixels[4 * i + 3]])
        out[5 * i] = a >> 2
        out[5 * i + 1] = ((a & 3) << 6) | (b >> 4)
        out[5 * i + 2] = ((b & 15) << 4) | (c >> 6)
        out[5 * i + 3] = ((c & 63) << 2) | (d >> 8)
        out[5 * i + 4] = d & 255
