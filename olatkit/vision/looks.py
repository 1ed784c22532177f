"""Pictures sampled at displaced positions and added up, in one pass over the wanted pixels.

Bicubic interpolation with a = -0.75. A patch of 4x4 pixels of three interleaved colours is eight short vectors: they are
loaded, weighted and added as such, for which the compiler has to be told. Every picture carries its repeated border
along, so that no patch reaches outside.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

BORDER = 4  # pixels around a padded picture: patches reach 3 beyond its edge, their vectors two thirds of a pixel more

# Weights of the taps at -1, 0, 1 and 2 for a position between the middle two: coefficients of its powers 0 to 3.
_CUBIC = ((0, 1, 0, 0), (-0.75, 0, 0.75, 0), (1.5, -2.25, 1.5, -0.75), (-0.75, 1.25, -1.25, 0.75))
_F, _I, _U = np.float32, np.int32, np.uint64
_FAST = {"contract", "reassoc", "nsz", "arcp"}  # not "nnan": a position that is no number is brought inside, too


class Look(NamedTuple):
    """A picture, where its pixels are found, and its share of the result.

    Attributes
    ----------
    picture : ndarray, shape (h + 8, w + 8, 3), float32
        With its border, of :func:`padded`; contiguous.
    near, far : ndarray, shape (R, C, 2), float32
        Positions (x, y) in the picture without border at two instants.
    share : float32
        Time from ``near`` to ``far``: positions are near + share (far - near).
    weight : float32
        Factor of the samples.
    """

    picture: np.ndarray
    near: np.ndarray
    far: np.ndarray
    share: np.float32
    weight: np.float32


def padded(picture: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) with its border repeated, shape (h + 8, w + 8, 3), contiguous."""
    out = np.empty((picture.shape[0] + 2 * BORDER, picture.shape[1] + 2 * BORDER, 3), picture.dtype)
    inside(out)[...] = picture
    repeat_border(out)
    return out


def inside(picture: np.ndarray) -> np.ndarray:
    """A padded picture without its border, a view."""
    return picture[BORDER:-BORDER, BORDER:-BORDER]


def repeat_border(picture: np.ndarray) -> None:
    """Fill the border of a padded picture from the picture inside."""
    first, last = BORDER, -BORDER - 1
    rows = slice(BORDER, -BORDER)
    picture[rows, :BORDER] = picture[rows, first : first + 1]
    picture[rows, -BORDER:] = picture[rows, last : last + 1]
    picture[:BORDER] = picture[first]
    picture[-BORDER:] = picture[last]


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def sample_look(look, out):
    """Write the samples of one look, times its weight, to ``out`` (R, C, 3) float32."""
    pixels = look.picture.reshape(-1)
    for row in range(out.shape[0]):
        for i in range(out.shape[1]):
            r, g, b = _sample(look, pixels, row, i)
            out[row, i, 0], out[row, i, 1], out[row, i, 2] = look.weight * r, look.weight * g, look.weight * b


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def blend_looks(one, two, out):
    """Write the weighted sum of two looks to ``out`` (R, C, 3) float32."""
    pixels1, pixels2 = one.picture.reshape(-1), two.picture.reshape(-1)
    for row in range(out.shape[0]):
        for i in range(out.shape[1]):
            r1, g1, b1 = _sample(one, pixels1, row, i)
            r2, g2, b2 = _sample(two, pixels2, row, i)
            out[row, i, 0] = one.weight * r1 + two.weight * r2
            out[row, i, 1] = one.weight * g1 + two.weight * g2
            out[row, i, 2] = one.weight * b1 + two.weight * b2


@numba.njit(nogil=True, fastmath=_FAST, inline="always")
def _sample(look, pixels, row, i):
    """Colours (r, g, b) of a look at one wanted pixel."""
    height, width, _ = look.picture.shape
    x = look.near[row, i, 0] + look.share * (look.far[row, i, 0] - look.near[row, i, 0])
    y = look.near[row, i, 1] + look.share * (look.far[row, i, 1] - look.near[row, i, 1])
    right, bottom = _F(width - 2 * BORDER), _F(height - 2 * BORDER)
    # From one pixel outside on, all four taps lie in the border.
    x = (x if x < right else right) if x > _F(-1) else _F(-1)
    y = (y if y < bottom else bottom) if y > _F(-1) else _F(-1)
    x, y = x + _F(BORDER), y + _F(BORDER)
    column, line = _I(x), _I(y)  # not negative, so this rounds down
    first = _U(3) * _U((line - _I(1)) * _I(width) + column - _I(1))
    # The compiler hands over its typing context itself.
    return _weigh_patch(pixels, first, _U(3) * _U(width), x - _F(column), y - _F(line))  # type: ignore[call-arg]


@intrinsic
def _weigh_patch(_typing: Any, pixels: Any, first: Any, line: Any, x: Any, y: Any) -> Any:
    """Bicubic sum (r, g, b) of the patch of 4x4 pixels that begins at ``first``, with lines ``line`` values apart.

    ``x`` and ``y`` are the position between the middle pixels, 0 to 1. A line of the patch is two vectors of six values,
    the colours of two pixels each, and two values more that get no weight.
    """
    signature = types.UniTuple(types.float32, 3)(pixels, types.uint64, types.uint64, types.float32, types.float32)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = context.make_array(signature.args[0])(context, builder, args[0]).data
        _, first, line, x, y = args
        v = _Vectors(builder)
        weights = v.cubic(v.of([x] * 4 + [y] * 4))
        left, right = v.pick(weights, [0, 0, 0, 1, 1, 1]), v.pick(weights, [2, 2, 2, 3, 3, 3])
        total = None
        for k in range(4):
            at = builder.gep(values, [first])
            sums = v.add(v.times(v.load(at, 0), left), v.times(v.load(at, 6), right))
            sums = v.times(sums, v.pick(weights, [4 + k] * 8))
            total = sums if total is None else v.add(total, sums)
            first = builder.add(first, line)
        total = v.add(total, v.pick(total, [3, 4, 5]))
        return context.make_tuple(builder, signature.return_type, v.split(total, 3))

    return signature, generate


class _Vectors:
    """Vectors of eight float32 in the intermediate language of the compiler; products and sums may be fused."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder
        self._type = ir.VectorType(ir.FloatType(), 8)

    def of(self, values: list) -> Any:
        """A vector of eight scalars."""
        out = ir.Constant(self._type, ir.Undefined)
        for k, value in enumerate(values):
            out = self._builder.insert_element(out, value, ir.IntType(32)(k))
        return out

    def load(self, start: Any, offset: int) -> Any:
        """Eight values of an array."""
        at = self._builder.gep(start, [ir.IntType(64)(offset)])
        return self._builder.load(self._builder.bitcast(at, self._type.as_pointer()), align=4)

    def times(self, a: Any, b: Any) -> Any:
        return self._builder.fmul(a, b, flags=("contract",))

    def add(self, a: Any, b: Any) -> Any:
        return self._builder.fadd(a, b, flags=("contract",))

    def pick(self, a: Any, places: list[int]) -> Any:
        """The elements of ``a`` at some places; the rest is zero."""
        zero = ir.Constant(self._type, [0.0] * 8)
        index = ir.Constant(ir.VectorType(ir.IntType(32), 8), places + [8] * (8 - len(places)))
        return self._builder.shuffle_vector(a, zero, index)

    def cubic(self, position: Any) -> Any:
        """Weights of four taps, twice."""
        powers = [ir.Constant(self._type, [float(c) for c in row] * 2) for row in _CUBIC]
        out = powers[3]
        for constant in powers[2::-1]:
            out = self.add(self.times(out, position), constant)
        return out

    def split(self, a: Any, count: int) -> list:
        """The first ``count`` elements as scalars."""
        return [self._builder.extract_element(a, ir.IntType(32)(k)) for k in range(count)]
