"""Sums of many lightings at the speed of the processor's multipliers.

Pixels are gathered in panels: PANEL pixels of all lights, colours apart, one light after the other, so that a product
reads memory in order. Sums of GROUP lightings over a panel fill the vector registers and leave them only when the last
light is added. The compiler has to be told such things vector by vector. This module imports numba: load it where
pictures are made.
"""

from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Values of a vector register, and vectors of a panel. GROUP * VECTORS sums, a vector of every colour plane and a weight
# are all that 16 registers hold.
WIDTH = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8
VECTORS, GROUP = 3, 4
PANEL = VECTORS * WIDTH
# Bytes of panels that are made at a time: they stay in the second-level cache for all lightings, and are long enough
# runs of every image for the processor to read ahead.
CACHE = 2**19
# Lights that are added up before the result is added to that of the lights before: their part of a panel stays in the
# first-level cache, and the rounding errors of short sums are small.
LIGHTS = 256


@numba.njit(cache=True, nogil=True)
def sum_lightings(images, lit, weights, out, start, stop):
    """Fill pixels ``start`` to ``stop`` of ``out`` (K, P, 3) with K sums over ``images`` (L, P, 3).

    ``weights`` is (groups, 3, len(lit), GROUP), the last group padded with zeros beyond K.
    """
    run = max(1, CACHE // (12 * PANEL * max(len(lit), 1)))
    panels = np.empty((run, 3, len(lit), PANEL), np.float32)
    sums, rest = np.empty((3, GROUP, PANEL), np.float32), np.zeros((PANEL, 3), np.float32)
    for low in range(start, stop, run * PANEL):
        high = min(low + run * PANEL, stop)
        fill_panels(images, lit, low, high, panels)
        for g in range(len(weights)):
            for j in range(-(-(high - low) // PANEL)):
                sums[...] = 0
                for channel in range(3):
                    for i in range(0, len(lit), LIGHTS):
                        some = slice(i, min(i + LIGHTS, len(lit)))
                        add_product(weights[g, channel, some], panels[j, channel, some], sums[channel])
                first = low + j * PANEL
                for k in range(min(GROUP, len(out) - g * GROUP)):
                    if first + PANEL <= high:
                        join(sums[0, k], sums[1, k], sums[2, k], out[g * GROUP + k, first : first + PANEL])
                    else:
                        join(sums[0, k], sums[1, k], sums[2, k], rest)
                        out[g * GROUP + k, first:high] = rest[: high - first]


@numba.njit(cache=True, nogil=True)
def fill_panels(images, lit, start, stop, panels):
    """Copy pixels ``start`` to ``stop`` of images (L, P, 3) to ``panels`` (n, 3, len(lit), PANEL), zeros behind them."""
    whole, rest = (stop - start) // PANEL, (stop - start) % PANEL
    padded = np.zeros((PANEL, 3), np.float32)
    for i in range(len(lit)):
        row = images[lit[i], start:stop]
        for j in range(whole):
            split(row[j * PANEL : (j + 1) * PANEL], panels[j, 0, i], panels[j, 1, i], panels[j, 2, i])
        if rest:
            padded[:rest] = row[whole * PANEL :]
            split(padded, panels[whole, 0, i], panels[whole, 1, i], panels[whole, 2, i])


@intrinsic
def add_product(_typing: Any, weights: Any, panel: Any, sums: Any) -> Any:
    """Add to ``sums`` (GROUP, PANEL) the product of ``weights`` (n, GROUP), transposed, and ``panel`` (n, PANEL)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = _Vectors(context, builder)
        factors, values, out = v.arrays(signature, args)
        lights = cgutils.unpack_tuple(builder, factors.shape)[0]
        totals = [cgutils.alloca_once_value(builder, v.zero) for _ in range(GROUP * VECTORS)]  # will be registers
        with cgutils.for_range(builder, lights) as loop:
            pixels = [v.load(values, WIDTH * i, builder.mul(loop.index, v.place(PANEL))) for i in range(VECTORS)]
            for k in range(GROUP):
                weight = v.repeat(factors, k, builder.mul(loop.index, v.place(GROUP)))
                for total, part in zip(totals[k * VECTORS : (k + 1) * VECTORS], pixels, strict=True):
                    builder.store(v.add(builder.load(total), v.times(weight, part)), total)
        for i, total in enumerate(totals):
            v.store(v.add(v.load(out, WIDTH * i), builder.load(total)), out, WIDTH * i)
        return context.get_dummy_value()

    return types.void(weights, panel, sums), generate


@intrinsic
def split(_typing: Any, pixels: Any, red: Any, green: Any, blue: Any) -> Any:
    """Copy ``pixels`` (PANEL, 3) to three planes (PANEL,)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = _Vectors(context, builder)
        source, *planes = v.arrays(signature, args)
        for i in range(0, PANEL, WIDTH):
            three = [v.load(source, 3 * i + WIDTH * k) for k in range(3)]
            for channel, plane in enumerate(planes):
                # Value k of the plane is number 3 k + channel: no two of them have the same place in their vectors.
                numbers = [3 * k + channel for k in range(WIDTH)]
                places = [number % WIDTH for number in numbers]
                vector_of = {number % WIDTH: number // WIDTH for number in numbers}
                v.store(v.pick(v.blend(three, [vector_of[m] for m in range(WIDTH)]), places), plane, i)
        return context.get_dummy_value()

    return types.void(pixels, red, green, blue), generate


@intrinsic
def join(_typing: Any, red: Any, green: Any, blue: Any, pixels: Any) -> Any:
    """Copy three planes (PANEL,) to ``pixels`` (PANEL, 3)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = _Vectors(context, builder)
        *planes, target = v.arrays(signature, args)
        for i in range(0, PANEL, WIDTH):
            three = []
            for channel, plane in enumerate(planes):
                origin = {(3 * k + channel) % WIDTH: k for k in range(WIDTH)}
                three.append(v.pick(v.load(plane, i), [origin[m] for m in range(WIDTH)]))
            for k in range(3):
                v.store(v.blend(three, [(WIDTH * k + m) % 3 for m in range(WIDTH)]), target, 3 * i + WIDTH * k)
        return context.get_dummy_value()

    return types.void(red, green, blue, pixels), generate


class _Vectors:
    """Vectors of WIDTH float32 in the intermediate language of the compiler; products and sums may be fused."""

    def __init__(self, context: Any, builder: Any) -> None:
        self._context, self._builder = context, builder
        self._type = ir.VectorType(ir.FloatType(), WIDTH)
        self.zero = ir.Constant(self._type, [0.0] * WIDTH)

    def arrays(self, signature: Any, args: Any) -> list[Any]:
        """The arguments as arrays; all are contiguous."""
        kinds = zip(signature.args, args, strict=True)
        return [self._context.make_array(kind)(self._context, self._builder, value) for kind, value in kinds]

    def place(self, offset: int) -> Any:
        return ir.IntType(64)(offset)

    def _at(self, array: Any, offset: int, first: Any) -> Any:
        place = self.place(offset)
        return self._builder.gep(array.data, [place if first is None else self._builder.add(first, place)])

    def load(self, array: Any, offset: int, first: Any = None) -> Any:
        """WIDTH values of an array from ``first + offset`` on."""
        at = self._builder.bitcast(self._at(array, offset, first), self._type.as_pointer())
        return self._builder.load(at, align=4)

    def store(self, value: Any, array: Any, offset: int) -> None:
        at = self._builder.bitcast(self._at(array, offset, None), self._type.as_pointer())
        self._builder.store(value, at, align=4)

    def repeat(self, array: Any, offset: int, first: Any) -> Any:
        """A vector of one value of an array."""
        value = self._builder.load(self._at(array, offset, first))
        alone = self._builder.insert_element(ir.Constant(self._type, ir.Undefined), value, ir.IntType(32)(0))
        return self.pick(alone, [0] * WIDTH)

    def times(self, a: Any, b: Any) -> Any:
        return self._builder.fmul(a, b, flags=("contract",))

    def add(self, a: Any, b: Any) -> Any:
        return self._builder.fadd(a, b, flags=("contract",))

    def pick(self, a: Any, places: list[int]) -> Any:
        """The elements of a vector in another order."""
        return self._shuffle(a, a, places)

    def blend(self, vectors: list[Any], chosen: list[int]) -> Any:
        """At every place the element that one of three vectors has there."""
        two = self._shuffle(*vectors[:2], [m + WIDTH * (which == 1) for m, which in enumerate(chosen)])
        return self._shuffle(two, vectors[2], [m + WIDTH * (which == 2) for m, which in enumerate(chosen)])

    def _shuffle(self, a: Any, b: Any, places: list[int]) -> Any:
        return self._builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), places))
