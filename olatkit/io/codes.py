"""Radiance as 12-bit codes on a variance-stabilising square-root curve.

``code = black + k sgn(x) (sqrt(|x| + b) - sqrt(b))`` with b = 0.02, so that a step of the code is a fixed share of
the noise of a sensor whose variance is signal plus read noise (full well 20,000 electrons and 20 electrons of read
noise give b = 20²/20000). A step is then a seventh of that noise, and its rounding error (rms) a twenty-third, at
every level. Radiance 4 is the last code; -0.146 is code 0, so noise around black and the undershoot beside highlights
survive.
"""

import numba
import numpy as np

BLACK = 512
LAST = 4095
OFFSET = 0.02
MAX_RADIANCE = 4.0
SCALE = (LAST - BLACK) / (np.sqrt(MAX_RADIANCE + OFFSET) - np.sqrt(OFFSET))
CURVE = f"sqrt12 black={BLACK} offset={OFFSET} scale={SCALE:.6f}"


def decode_table() -> np.ndarray:
    """Radiance of every code, shape (4096,), float32."""
    root = (np.arange(LAST + 1) - BLACK) / SCALE
    magnitude = (np.abs(root) + np.sqrt(OFFSET)) ** 2 - OFFSET
    return (np.sign(root) * magnitude).astype(np.float32)


_TABLE = decode_table()


def decode(codes: np.ndarray) -> np.ndarray:
    """Codes (uint16, 0 to 4095) to radiance, float32, same shape."""
    out = np.empty(codes.shape, np.float32)
    decode_into(np.ascontiguousarray(codes), out)
    return out


def decode_into(codes: np.ndarray, out: np.ndarray) -> None:
    """Decode contiguous codes into a contiguous float32 array of the same shape."""
    _decode(codes.reshape(-1), _TABLE, out.reshape(-1))


def encode(radiance: np.ndarray) -> tuple[np.ndarray, int]:
    """Radiance to codes; returns them (uint16, same shape) and how many values lay beyond the range and were limited.

    The count is the caller's to report: nothing is limited silently.
    """
    out = np.empty(radiance.shape, np.uint16)
    return out, encode_into(radiance, out, np.array([[0, 0, radiance.size]]))


def encode_into(radiance: np.ndarray, out: np.ndarray, runs: np.ndarray) -> int:
    """Write codes of some values to their places in a contiguous array; returns the count as :func:`encode` does.

    ``runs`` (n, 3) int64 holds, for values that lie side by side in both arrays: the first one, its place in ``out``,
    and how many they are.
    """
    values = np.ascontiguousarray(radiance, np.float32).reshape(-1)
    return int(_encode(values, runs, out.reshape(-1), np.float32(SCALE), np.float32(OFFSET), np.float32(BLACK)))


@numba.njit(cache=True, nogil=True)
def _decode(codes, table, out):
    for i in range(codes.size):
        out[i] = table[min(codes[i], np.uint16(4095))]


# Not "nnan": the code of a NaN is 0, and it is counted.
@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def _encode(values, runs, out, scale, offset, black):
    root = np.sqrt(offset)
    beyond = np.int64(0)
    for first, place, count in runs:
        source, target = values[first : first + count], out[place : place + count]
        limited = np.int32(0)
        for i in range(np.uint64(count)):
            x = source[i]
            code = black + scale * np.copysign(np.sqrt(abs(x) + offset) - root, x) + np.float32(0.5)
            limited += np.int32(not ((code >= np.float32(0)) & (code < np.float32(4096))))
            code = code if code >= np.float32(0) else np.float32(0)
            target[i] = np.uint16(np.int32(min(code, np.float32(4095))))
        beyond += np.int64(limited)
    return beyond
