"""Sums of many lightings at the speed of the processor's multipliers.

Pixels are gathered in panels: PANEL pixels of all lights, colours apart, one light after the other, so that a product
reads memory in order. Sums of GROUP lightings over a panel fill the vector registers and leave them only when the last
light is added. This module imports numba: load it where pictures are made.
"""

from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from olatkit.render.vectors import PANEL, VECTORS, WIDTH, Vectors, join, split

# Lightings of a product: GROUP * VECTORS sums, the panel's vectors and a weight are all that 16 registers hold.
GROUP = 4
# Bytes of panels that are made at a time: they stay in the second-level cache for all lightings, and are long enough
# runs of every image for the processor to read ahead.
CACHE = 2**19
# Lights that are added up before the result is added to that of the lights before: their part of a panel stays in the
# first-level cache, and the rounding errors of short sums are small.
LIGHTS = 256


def group_weights(weights: np.ndarray) -> np.ndarray:
    """Weights (K, L, 3) in the order of the products, (groups, 3, L, GROUP) float32; the last group is padded with zeros."""
    count, lights, _ = weights.shape
    groups = -(-count // GROUP)
    padded = np.zeros((groups * GROUP, lights, 3), np.float32)
    padded[:count] = weights
    return np.ascontiguousarray(padded.reshape(groups, GROUP, lights, 3).transpose(0, 3, 2, 1))


@numba.njit(cache=True, nogil=True)
def sum_lightings(images, lit, weights, out, start, stop):
    """Fill pixels ``start`` to ``stop`` of ``out`` (K, P, 3) with K sums over ``images`` (L, P, 3).

    ``weights`` is that of :func:`group_weights` for the lights ``lit``.
    """
    panels, sums = make_panels(len(lit)), np.empty((3, GROUP, PANEL), np.float32)
    rest = np.zeros((PANEL, 3), np.float32)
    for low in range(start, stop, len(panels) * PANEL):
        high = min(low + len(panels) * PANEL, stop)
        fill_panels(images, lit, low, high, panels)
        for g in range(len(weights)):
            for j in range(-(-(high - low) // PANEL)):
                sum_panel(weights[g], panels[j], sums)
                first = low + j * PANEL
                for k in range(min(GROUP, len(out) - g * GROUP)):
                    if first + PANEL <= high:
                        join(sums[0, k], sums[1, k], sums[2, k], out[g * GROUP + k, first : first + PANEL])  # type: ignore[call-arg]
                    else:
                        join(sums[0, k], sums[1, k], sums[2, k], rest)  # type: ignore[call-arg]
                        out[g * GROUP + k, first:high] = rest[: high - first]


@numba.njit(cache=True, nogil=True)
def make_panels(lights):
    """Room for as many panels as are made at a time, (n, 3, lights, PANEL)."""
    return np.empty((max(1, CACHE // (12 * PANEL * max(lights, 1))), 3, lights, PANEL), np.float32)


@numba.njit(cache=True, nogil=True)
def fill_panels(images, lit, start, stop, panels):
    """Fill ``panels`` (n, 3, len(lit), PANEL) with pixels ``start`` to ``stop`` of images (L, P, 3), zeros behind them.

    Images are float32, or uint16 codes, which become radiance.
    """
    whole, rest = (stop - start) // PANEL, (stop - start) % PANEL
    padded = np.zeros((PANEL, 3), images.dtype)
    for i in range(len(lit)):
        row = images[lit[i], start:stop]
        for j in range(whole):
            split(row[j * PANEL : (j + 1) * PANEL], panels[j, 0, i], panels[j, 1, i], panels[j, 2, i])  # type: ignore[call-arg]
        if rest:
            padded[:rest] = row[whole * PANEL :]
            split(padded, panels[whole, 0, i], panels[whole, 1, i], panels[whole, 2, i])  # type: ignore[call-arg]


def _make_product(adds: bool) -> Any:
    """A function that puts a product into ``sums``, or adds it to what is there."""

    @intrinsic
    def product(_typing: Any, weights: Any, panel: Any, sums: Any) -> Any:
        """Weights (n, GROUP), transposed, times a panel (n, PANEL): ``sums`` (GROUP, PANEL), whose rows may lie apart."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            v = Vectors(context, builder)
            factors, values, out = v.arrays(signature, args)
            lights = cgutils.unpack_tuple(builder, factors.shape)[0]
            totals = [cgutils.alloca_once_value(builder, v.zero) for _ in range(GROUP * VECTORS)]  # will be registers
            with cgutils.for_range(builder, lights) as loop:
                pixels = [v.load(values, WIDTH * i, builder.mul(loop.index, v.place(PANEL))) for i in range(VECTORS)]
                for k in range(GROUP):
                    weight = v.repeat(factors, k, builder.mul(loop.index, v.place(GROUP)))
                    for total, part in zip(totals[k * VECTORS : (k + 1) * VECTORS], pixels, strict=True):
                        builder.store(v.add(builder.load(total), v.times(weight, part)), total)
            row = builder.sdiv(cgutils.unpack_tuple(builder, out.strides)[0], v.place(4))
            for i, total in enumerate(totals):
                first, offset = builder.mul(row, v.place(i // VECTORS)), WIDTH * (i % VECTORS)
                value = builder.load(total)
                v.store(v.add(v.load(out, offset, first), value) if adds else value, out, offset, first)
            return context.get_dummy_value()

        return types.void(weights, panel, sums), generate

    return product


_put_product, _add_product = _make_product(False), _make_product(True)


@numba.njit(cache=True, nogil=True)
def sum_panel(weights, panel, sums):
    """Fill ``sums`` (3, GROUP, PANEL) with a panel (3, n, PANEL) under a group of lightings (3, n, GROUP).

    Its pixels are side by side; the rest may lie apart.
    """
    for channel in range(3):
        _put_product(weights[channel, :LIGHTS], panel[channel, :LIGHTS], sums[channel])
        for i in range(LIGHTS, panel.shape[1], LIGHTS):
            last = min(i + LIGHTS, panel.shape[1])
            _add_product(weights[channel, i:last], panel[channel, i:last], sums[channel])
