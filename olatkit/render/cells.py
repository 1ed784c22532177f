"""Overlap of lat-long pixels with the Voronoi cells of directions: exact in elevation, summed over meridians.

On one meridian (azimuth φ) light l shines on the polar angle θ with the cosine B_l cosθ + A_l(φ) sinθ, where B is
its height y and A = x sinφ − z cosφ. Divided by sinθ and with x = cotθ that is the line A_l + B_l x: the nearest
light along the meridian is the upper envelope of L lines, and solid angle is length in cosθ. So every meridian is
cut exactly; only the azimuth is sampled, at the middle of thin slices, and thinner ones wherever the order of the
lights along the meridian changes or an edge is steep. The kernels import numba: load this module where weights are
computed, not at start-up.
"""

import numba
import numpy as np

# Slices around the sphere, before refinement, and how often one may be halved. White-sky weights of rigs from 2 to
# 331 lights are then within 0.001 % of the exact cell areas.
MERIDIANS = 4096
HALVINGS = 9
# How far an edge may climb within a slice, in cosθ.
SLOPE = 0.004


def voronoi_overlaps(
    directions: np.ndarray, height: int, width: int, *, max_angle_rad: float = np.pi
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solid angle that every light's cell covers of every lat-long pixel.

    Parameters
    ----------
    directions : ndarray, shape (L, 3)
        Unit vectors.
    height, width : int
        Pixels of the map.
    max_angle_rad : float
        Cells end at this angle from their light; π covers the sphere.

    Returns
    -------
    solid_angles : ndarray, shape (n,), float64
        Overlaps [sr], all positive; each pixel's sum is its solid angle (for π).
    lights, pixels : ndarray, shape (n,), int64
        Light index and pixel index ``row * width + column`` of each overlap.
    """
    order = np.argsort(-directions[:, 1], kind="stable")
    row_edges = np.cos(np.pi * np.arange(height + 1) / height)
    slices = _place_slices(directions[order], width, max(1, -(-MERIDIANS // width)), HALVINGS)
    values, lights, pixels = _cut_columns(directions[order], row_edges, width, slices, float(np.cos(max_angle_rad)))
    return values, order[lights], pixels


@numba.njit(cache=True, nogil=True)
def _place_slices(directions, width, per_column, halvings):
    """Middle azimuth and width [rad] of every slice, shape (n, 2), and the first slice of every column.

    A slice whose two ends meet different lights is halved: somewhere in it cells begin, end or share an upright edge. So
    is one in which an edge climbs far, as edges do that pass close to a pole.
    """
    base = 2 * np.pi / (width * per_column)
    slices, first = np.empty((4 * width * per_column, 2)), np.zeros(width + 1, np.int64)
    todo = np.empty((halvings + 2, 2))
    count = 0
    for column in range(width):
        for s in range(per_column):
            todo[0, 0], todo[0, 1] = -np.pi + (column * per_column + s) * base, base
            waiting = 1
            while waiting > 0:
                waiting -= 1
                start, extent = todo[waiting]
                if extent > base * 0.75 / 2**halvings and _cells_change(directions, start, extent):
                    todo[waiting, 0], todo[waiting, 1] = start + extent / 2, extent / 2
                    todo[waiting + 1, 0], todo[waiting + 1, 1] = start, extent / 2
                    waiting += 2
                    continue
                if count == len(slices):
                    slices = _grown(slices)
                slices[count, 0], slices[count, 1] = start + extent / 2, extent
                count += 1
        first[column + 1] = count
    return slices[:count], first


@numba.njit(cache=True, nogil=True)
def _cells_change(directions, start, extent):
    """Whether the meridians just inside both ends of a slice pass through different cells, or the same at other heights."""
    # Just inside: a symmetric rig has edges on the ends themselves, where rounding would decide.
    left, right = start + 1e-3 * extent, start + 0.999 * extent
    stack_a, starts_a = np.empty(len(directions), np.int64), np.empty(len(directions))
    stack_b, starts_b = np.empty_like(stack_a), np.empty_like(starts_a)
    size = _upper_envelope(directions[:, 1], _intercepts(directions, left), stack_a, starts_a)
    if _upper_envelope(directions[:, 1], _intercepts(directions, right), stack_b, starts_b) != size:
        return True
    return (stack_a[:size] != stack_b[:size]).any() or (np.abs(starts_a - starts_b)[:size] > SLOPE).any()


@numba.njit(cache=True, nogil=True)
def _cut_columns(directions, row_edges, width, placed, cos_limit):
    """Overlaps [sr] of every column's slices with the cells; lights are sorted from north to south."""
    lights, height = len(directions), len(row_edges) - 1
    slices, first = placed
    values, keys = np.empty(2 * height * width), np.empty((2 * height * width, 2), np.int64)
    count = 0
    share, touched = np.zeros((height, lights)), np.empty((height * lights, 2), np.int64)
    stack, starts = np.empty(lights, np.int64), np.empty(lights + 1)
    for column in range(width):
        n_touched = 0
        for s in range(first[column], first[column + 1]):
            intercepts = _intercepts(directions, slices[s, 0])
            size = _upper_envelope(directions[:, 1], intercepts, stack, starts)
            starts[size] = -1.0
            for k in range(size):
                light = stack[k]
                for turn in range(2):
                    stretch = (starts[k], starts[k + 1])
                    high, low = _limit(directions[light, 1], intercepts[light], cos_limit, turn, stretch)
                    if high <= low:
                        continue
                    row = max(0, int(np.arccos(high) / np.pi * height) - 1)
                    while row < height and row_edges[row] > low:
                        overlap = (min(high, row_edges[row]) - max(low, row_edges[row + 1])) * slices[s, 1]
                        if overlap > 0:
                            if share[row, light] == 0:
                                touched[n_touched, 0], touched[n_touched, 1] = row, light
                                n_touched += 1
                            share[row, light] += overlap
                        row += 1
        if count + n_touched > len(values):
            values, keys = _grown(values), _grown(keys)
        for k in range(n_touched):
            row, light = touched[k]
            values[count], keys[count, 0], keys[count, 1] = share[row, light], light, row * width + column
            share[row, light] = 0
            count += 1
    return values[:count], keys[:count, 0], keys[:count, 1]


@numba.njit(cache=True, nogil=True)
def _intercepts(directions, phi):
    """A of every light at an azimuth."""
    return directions[:, 0] * np.sin(phi) - directions[:, 2] * np.cos(phi)


@numba.njit(cache=True, nogil=True)
def _upper_envelope(slopes, intercepts, stack, starts):
    """Lines of the upper envelope from north to south, and the cosθ where each begins; returns their number."""
    size = 0
    for l in range(len(slopes)):
        start = 1.0
        while size > 0:
            top = stack[size - 1]
            fall = slopes[top] - slopes[l]
            gain = intercepts[l] - intercepts[top]
            if fall < 1e-15:  # equal heights: the larger intercept wins along the whole meridian
                if gain <= 0:
                    start = -1.0
                    break
                size -= 1
                continue
            start = gain / np.hypot(gain, fall)  # cosθ of cotθ = gain / fall
            if start < starts[size - 1]:
                break
            size -= 1
        if size == 0:
            start = 1.0
        if start > -1.0:
            stack[size], starts[size] = l, start
            size += 1
    return size


@numba.njit(cache=True, nogil=True)
def _limit(height, intercept, cos_limit, turn, stretch):
    """Part of a meridian's stretch (top, bottom) in cosθ within the limiting angle of its light.

    The lit cap can meet the meridian twice (``turn`` 0 and 1), once around each pole.
    """
    top, bottom = stretch
    if cos_limit <= -1.0:
        return (top, bottom) if turn == 0 else (0.0, 0.0)
    radius = np.hypot(height, intercept)
    if radius <= cos_limit:
        return 0.0, 0.0
    if radius <= -cos_limit:
        return (top, bottom) if turn == 0 else (0.0, 0.0)
    middle = np.arctan2(intercept, height)
    reach = np.arccos(cos_limit / radius)
    if turn == 1:
        middle += 2 * np.pi if middle < 0 else -2 * np.pi
    first, last = max(middle - reach, 0.0), min(middle + reach, np.pi)
    if first >= last:
        return 0.0, 0.0
    return min(top, np.cos(first)), max(bottom, np.cos(last))


@numba.njit(cache=True, nogil=True)
def _grown(values):
    """The same rows with at least twice the room."""
    out = np.empty((2 * len(values) + 65536, *values.shape[1:]), values.dtype)
    out[: len(values)] = values
    return out
