"""The OLAT sum on tiles of codes: one matrix product per colour, on the CPU tile by tile or on a torch device at once."""

import math
from collections.abc import Iterable

import numba
import numpy as np
import torch

from olatkit.io.codes import BLACK, OFFSET, SCALE
from olatkit.render.panels import GROUP, fill_panels, group_weights, make_panels, sum_panel
from olatkit.render.vectors import PANEL


def relight_tiles(
    batches: Iterable[tuple[np.ndarray, np.ndarray]], weights: np.ndarray, window: tuple[int, int, int, int],
    out: np.ndarray,
) -> None:
    """Relight tiles on the CPU; each is decoded and summed while it is in the processor's cache.

    Parameters
    ----------
    batches : iterable of pairs of ndarray
        Codes (n, L, c, c, 3) uint16 of n tiles with all their lights, and rows and columns (n, 2) of the tiles in the
        picture's grid of tiles.
    weights : ndarray, shape (K, L, 3), float32
        K lightings.
    window : tuple
        (top, left, h, w) [px], multiples of c.
    out : ndarray, shape (K, 3, h, w), float32
        Filled with linear radiance; 0 where no tile lies.
    """
    groups, corner, c, filled = group_weights(weights), np.array(window[:2]), math.gcd(*window[2:]), []
    for codes, tiles in batches:
        n, lights, c = codes.shape[:3]
        corners = tiles * c - corner
        _sum_tiles(codes.reshape(n, lights, c * c, 3), groups, corners, c, out)
        filled.append(corners)
    dark = np.ones((window[2] // c, window[3] // c), bool)
    for corners in filled:
        dark[tuple(corners.T // c)] = False
    for y, x in np.argwhere(dark) * c:
        out[:, :, y : y + c, x : x + c] = 0


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
def _sum_tiles(codes, weights, corners, c, out):
    """Fill the tiles of ``out`` (K, 3, h, w) at ``corners`` (n, 2) [px] with sums over ``codes`` (n, L, c c, 3)."""
    lit, panels = np.arange(codes.shape[1]), make_panels(codes.shape[1])
    relit = np.empty((3, len(weights) * GROUP, -(-c * c // PANEL) * PANEL), np.float32)
    for tile in range(len(codes)):
        for low in range(0, c * c, len(panels) * PANEL):
            high = min(low + len(panels) * PANEL, c * c)
            fill_panels(codes[tile], lit, low, high, panels)
            for g in range(len(weights)):
                for j in range(-(-(high - low) // PANEL)):
                    first = low + j * PANEL
                    sum_panel(weights[g], panels[j], relit[:, g * GROUP : (g + 1) * GROUP, first : first + PANEL])
        top, left = corners[tile]
        for k in range(len(out)):
            for channel in range(3):
                for y in range(c):
                    source, target = relit[channel, k, y * c : (y + 1) * c], out[k, channel, top + y, left : left + c]
                    for x in range(c):
                        target[x] = source[x]
