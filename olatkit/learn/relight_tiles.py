"""The OLAT sum on tiles of codes: one matrix product per colour, on the CPU tile by tile or on a torch device at once."""

import numba
import numpy as np
import torch

from olatkit.io.codes import BLACK, OFFSET, SCALE

STEP, ROOT = np.float32(1 / SCALE), np.float32(2 * OFFSET**0.5)


def relight_tiles(
    codes: np.ndarray, tiles: np.ndarray, weights: np.ndarray, window: tuple[int, int, int, int], out: np.ndarray
) -> None:
    """Relight tiles on the CPU; each is decoded and summed while it is in the processor's cache.

    Parameters
    ----------
    codes : ndarray, shape (n, L, c, c, 3), uint16
        Tiles with all their lights.
    tiles : ndarray, shape (n, 2)
        Row and column of every tile in the picture's grid of tiles.
    weights : ndarray, shape (K, L, 3), float32
        K lightings.
    window : tuple
        (top, left, h, w) [px], multiples of c.
    out : ndarray, shape (K, 3, h, w), float32
        Filled with linear radiance; 0 where no tile lies.
    """
    n, lights, c = codes.shape[:3]
    top, left = window[:2]
    out[...] = 0
    factors = torch.from_numpy(np.ascontiguousarray(weights.transpose(2, 0, 1), np.float32))
    planes, line = np.empty((3, lights, c * c), np.float32), np.empty(3 * c * c, np.float32)
    relit = torch.empty(3, len(weights), c * c)
    source, result = torch.from_numpy(planes), relit.numpy().reshape(3, -1, c, c).transpose(1, 0, 2, 3)
    for tile, (row, column) in zip(codes.reshape(n, lights, -1), tiles.tolist(), strict=True):
        _decode_planes(tile, line, planes)
        torch.bmm(factors, source, out=relit)
        y, x = row * c - top, column * c - left
        out[..., y : y + c, x : x + c] = result


def relight_tiles_on(
    codes: torch.Tensor, tiles: torch.Tensor, weights: torch.Tensor, window: tuple[int, int, int, int]
) -> torch.Tensor:
    """The same on the device of its tensors, all tiles in one batched product; returns (K, 3, h, w).

    ``codes`` is (n, L, c, c, 3) int16, ``tiles`` (n, 2) int64, ``weights`` (K, L, 3).
    """
    n, lights, c = codes.shape[:3]
    top, left, height, width = window
    radiance = decode_on(codes).permute(4, 1, 0, 2, 3).reshape(3, lights, n * c * c)
    relit = torch.bmm(weights.permute(2, 0, 1), radiance)  # (3, K, n c c)
    grid = relit.new_zeros(height // c, width // c, len(weights), 3, c, c)
    rows, columns = tiles[:, 0] - top // c, tiles[:, 1] - left // c
    grid[rows, columns] = relit.reshape(3, -1, n, c, c).permute(2, 1, 0, 3, 4)
    return grid.permute(2, 3, 0, 4, 1, 5).reshape(-1, 3, height, width)


def decode_on(codes: torch.Tensor) -> torch.Tensor:
    """Radiance of codes as :func:`olatkit.io.codes.decode`, computed from the curve instead of looked up."""
    root = (codes.to(torch.float32) - BLACK) / SCALE
    return root * (root.abs() + 2 * OFFSET**0.5)


@numba.njit(cache=True, nogil=True)
def _decode_planes(codes, line, planes):
    """Codes (L, 3 P) to radiance in colour planes (3, L, P), by the curve: vector instructions know no table."""
    for light in range(len(codes)):
        row, red, green, blue = codes[light], planes[0, light], planes[1, light], planes[2, light]
        for i in range(len(row)):
            root = np.float32(np.int32(row[i]) - BLACK) * STEP
            line[i] = root * (abs(root) + ROOT)
        for p in range(len(red)):
            red[p] = line[3 * p]
            green[p] = line[3 * p + 1]
            blue[p] = line[3 * p + 2]
