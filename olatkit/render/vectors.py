"""Colours of pixels taken apart and put together again, several pixels at a time.

PANEL pixels are a whole number of the processor's vector registers in every colour. The compiler has to be told which
vectors to load and how to mix them. This module imports numba: load it where pictures are made.
"""

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from olatkit.io.codes import BLACK, OFFSET, SCALE

# Values of a vector register, and registers that hold one colour of a panel.
WIDTH = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8
VECTORS = 3
PANEL = VECTORS * WIDTH


@intrinsic
def split(_typing: Any, pixels: Any, red: Any, green: Any, blue: Any) -> Any:
    """Copy ``pixels`` (PANEL, 3) to three planes (PANEL,) of float32.

    Pixels of float32 stay as they are, bytes become 0 to 1, uint16 are codes of :mod:`olatkit.io.codes` and become
    radiance.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(context, builder)
        load = {types.float32: v.load, types.uint8: v.load_bytes, types.uint16: v.load_codes}[signature.args[0].dtype]
        source, *planes = v.arrays(signature, args)
        for i in range(0, PANEL, WIDTH):
            three = [load(source, 3 * i + WIDTH * k) for k in range(3)]
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
    """Copy three planes (PANEL,) to ``pixels`` (PANEL, 3), all float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(context, builder)
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


class Vectors:
    """Vectors of WIDTH float32 in the intermediate language of the compiler; products and sums may be fused."""

    def __init__(self, context: Any, builder: Any) -> None:
        self._context, self._builder = context, builder
        self._type = ir.VectorType(ir.FloatType(), WIDTH)
        self.zero = self.constant(0.0)

    def constant(self, value: float) -> Any:
        return ir.Constant(self._type, [float(value)] * WIDTH)

    def arrays(self, signature: Any, args: Any) -> list[Any]:
        """The arguments as arrays; their last axis is contiguous."""
        kinds = zip(signature.args, args, strict=True)
        return [self._context.make_array(kind)(self._context, self._builder, value) for kind, value in kinds]

    def place(self, offset: int) -> Any:
        return ir.IntType(64)(offset)

    def _at(self, array: Any, offset: int, first: Any = None) -> Any:
        place = self.place(offset)
        return self._builder.gep(array.data, [place if first is None else self._builder.add(first, place)])

    def load(self, array: Any, offset: int, first: Any = None) -> Any:
        """WIDTH values of an array from ``first + offset`` on."""
        at = self._builder.bitcast(self._at(array, offset, first), self._type.as_pointer())
        return self._builder.load(at, align=4)

    def _load_integers(self, array: Any, offset: int, bits: int) -> Any:
        kind = ir.VectorType(ir.IntType(bits), WIDTH)
        values = self._builder.load(self._builder.bitcast(self._at(array, offset), kind.as_pointer()), align=bits // 8)
        return self._builder.sitofp(self._builder.zext(values, ir.VectorType(ir.IntType(32), WIDTH)), self._type)

    def load_bytes(self, array: Any, offset: int) -> Any:
        """WIDTH bytes as 0 to 1."""
        return self._builder.fdiv(self._load_integers(array, offset, 8), self.constant(255))

    def load_codes(self, array: Any, offset: int) -> Any:
        """The radiance of WIDTH codes, computed from their curve: vectors know no table."""
        above = self._builder.fsub(self._load_integers(array, offset, 16), self.constant(BLACK))
        root = self.times(above, self.constant(1 / SCALE))
        kind = ir.FunctionType(self._type, [self._type])
        absolute = cgutils.get_or_insert_function(self._builder.module, kind, f"llvm.fabs.v{WIDTH}f32")
        return self.times(root, self.add(self._builder.call(absolute, [root]), self.constant(2 * OFFSET**0.5)))

    def store(self, value: Any, array: Any, offset: int, first: Any = None) -> None:
        at = self._builder.bitcast(self._at(array, offset, first), self._type.as_pointer())
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
        two = self._shuffle(vectors[0], vectors[1], [m + WIDTH * (which == 1) for m, which in enumerate(chosen)])
        return self._shuffle(two, vectors[2], [m + WIDTH * (which == 2) for m, which in enumerate(chosen)])

    def _shuffle(self, a: Any, b: Any, places: list[int]) -> Any:
        return self._builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), places))
