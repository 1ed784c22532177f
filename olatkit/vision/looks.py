"""Pictures sampled at displaced positions and added up, in one pass over the wanted pixels.

Bicubic interpolation with a = -0.75. Pixels are done in short runs: first the places and weights of a run, which the
compiler makes in vectors over pixels; then the sums, in vectors over the patch. A patch of 4x4 pixels of three
interleaved colours is eight short vectors, which the compiler has to be told. Every picture carries its repeated border
along, so that no patch reaches outside.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# Typed as what it is for callers: the compiler hands over the first argument itself.
_intrinsic: Any = intrinsic

BORDER = 4  # pixels around a padded picture: patches reach 3 beyond its edge, their vectors two thirds of a pixel more

RUN = 64  # pixels whose places and weights are kept at a time, in the processor's first cache

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
    """Write the samples of one look, times its weight, to ``out`` (R, C, 3) float32, contiguous."""
    pixels, line, values = look.picture.reshape(-1), _U(3 * look.picture.shape[1]), out.reshape(-1)
    firsts, weights, places = _scratch()
    for start in range(0, values.size // 3, RUN):
        count = min(RUN, values.size // 3 - start)
        _place(look, start, count, firsts, weights, places)
        for i in range(_U(count)):
            _put_patch(pixels, _U(firsts[i]), line, weights, i, values, _U(3) * (_U(start) + i))


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def blend_looks(one, two, out):
    """Write the weighted sum of two looks to ``out`` (R, C, 3) float32, contiguous."""
    pixels1, line1 = one.picture.reshape(-1), _U(3 * one.picture.shape[1])
    pixels2, line2 = two.picture.reshape(-1), _U(3 * two.picture.shape[1])
    values = out.reshape(-1)
    firsts1, weights1, places = _scratch()
    firsts2, weights2, _ = _scratch()
    for start in range(0, values.size // 3, RUN):
        count = min(RUN, values.size // 3 - start)
        _place(one, start, count, firsts1, weights1, places)
        _place(two, start, count, firsts2, weights2, places)
        for i in range(_U(count)):
            at = _U(3) * (_U(start) + i)
            _put_patches(
                pixels1, _U(firsts1[i]), line1, weights1, pixels2, _U(firsts2[i]), line2, weights2, i, values, at
            )


@numba.njit(nogil=True)
def _scratch():
    """Room for what :func:`_place` tells of a run."""
    return np.empty(RUN, np.int32), np.empty(8 * RUN, np.float32), np.empty((2, RUN), np.float32)


@numba.njit(nogil=True, fastmath=_FAST)
def _place(look, at, count, firsts, weights, places):
    """For a run of wanted pixels, where their patches begin in the flattened picture, and the patches' weights.

    ``at`` is the run's first pixel in reading order. ``weights`` (8 RUN,) are those of the columns at -1, 0, 1 and 2,
    then those of the lines times the look's weight; ``places`` (2, RUN) is room for what comes between. The loops are
    short and simple, so that the compiler makes vectors of them.
    """
    height, width, _ = look.picture.shape
    right, bottom, wide = _F(width - 2 * BORDER), _F(height - 2 * BORDER), _I(width)
    run = slice(2 * at, 2 * (at + count))
    near, far, share = look.near.reshape(-1)[run], look.far.reshape(-1)[run], look.share
    x, y = places[0], places[1]
    for i in range(_U(count)):
        k = i + i
        x[i] = near[k] + share * (far[k] - near[k])
        y[i] = near[k + _U(1)] + share * (far[k + _U(1)] - near[k + _U(1)])
    # From one pixel outside on, all four taps lie in the border. A position that is no number is brought there, too.
    for place, last in ((x, right), (y, bottom)):
        for i in range(_U(count)):
            within = place[i] if place[i] > _F(-1) else _F(-1)
            place[i] = (within if within < last else last) + _F(BORDER)
    for i in range(_U(count)):
        column, line = _I(x[i]), _I(y[i])  # not negative, so this rounds down
        firsts[i] = _I(_I(3) * ((line - _I(1)) * wide + column - _I(1)))
        x[i] -= _F(column)
        y[i] -= _F(line)
    for k, position, weight in ((0, x, _F(1)), (4, y, look.weight)):
        a, b = weights[k * RUN : (k + 1) * RUN], weights[(k + 1) * RUN : (k + 2) * RUN]
        c, d = weights[(k + 2) * RUN : (k + 3) * RUN], weights[(k + 3) * RUN : (k + 4) * RUN]
        for i in range(_U(count)):
            a[i], b[i], c[i], d[i] = _cubic(position[i], weight)


@numba.njit(nogil=True, fastmath=_FAST, inline="always")
def _cubic(x, weight):
    """Weights of the taps at -1, 0, 1 and 2 for a position ``x`` between the middle two, times ``weight``."""
    return (
        weight * (x * (x * (_F(1.5) - _F(0.75) * x) - _F(0.75))),
        weight * (x * x * (_F(1.25) * x - _F(2.25)) + _F(1)),
        weight * (x * (x * (_F(1.5) - _F(1.25) * x) + _F(0.75))),
        weight * (x * x * (_F(0.75) * x - _F(0.75))),
    )


@_intrinsic
def _put_patch(_typing: Any, pixels: Any, first: Any, line: Any, weights: Any, i: Any, out: Any, at: Any) -> Any:
    """Write the bicubic sum (r, g, b) of the patch of 4x4 pixels that begins at ``first`` to ``out`` from ``at`` on.

    ``line`` values lie between the patch's lines; pixel ``i`` of a run has the weights of :func:`_place`.
    """
    signature = types.void(pixels, first, line, weights, i, out, at)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pixels, first, line, weights, i, out, at = _with_data(context, builder, signature, args)
        v = _Vectors(builder)
        v.store_colours(v.patch(pixels, first, line, weights, i), out, at)
        return context.get_dummy_value()

    return signature, generate


@_intrinsic
def _put_patches(
    _typing: Any, pixels1: Any, first1: Any, line1: Any, weights1: Any, pixels2: Any, first2: Any, line2: Any,
    weights2: Any, i: Any, out: Any, at: Any,
) -> Any:
    """The same for the sum of two patches."""
    signature = types.void(pixels1, first1, line1, weights1, pixels2, first2, line2, weights2, i, out, at)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pixels1, first1, line1, weights1, pixels2, first2, line2, weights2, i, out, at = _with_data(
            context, builder, signature, args
        )
        v = _Vectors(builder)
        one, two = v.patch(pixels1, first1, line1, weights1, i), v.patch(pixels2, first2, line2, weights2, i)
        v.store_colours(v.add(one, two), out, at)
        return context.get_dummy_value()

    return signature, generate


def _with_data(context: Any, builder: Any, signature: Any, args: Any) -> list:
    """Arguments with the addresses of their values in place of arrays."""
    return [
        context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
        for kind, value in zip(signature.args, args, strict=True)
    ]


class _Vectors:
    """Vectors of eight float32 in the intermediate language of the compiler; products and sums may be fused."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder
        self._type = ir.VectorType(ir.FloatType(), 8)

    def patch(self, pixels: Any, first: Any, line: Any, weights: Any, i: Any) -> Any:
        """Weighted sum of a patch's lines and pixels; its first three elements are the colours' sums.

        A line is two vectors of six values, the colours of two pixels each, and two more that nobody looks at.
        """
        columns = [self._weight(weights, k, i) for k in range(4)]
        left, right = self._pick(*columns[:2]), self._pick(*columns[2:])
        total = None
        for k in range(4):
            at = self._builder.gep(pixels, [first])
            sums = self.add(self._times(self._load(at, 0), left), self._times(self._load(at, 6), right))
            sums = self._times(sums, self._weight(weights, 4 + k, i))
            total = sums if total is None else self.add(total, sums)
            first = self._builder.add(first, line)
        return total

    def store_colours(self, total: Any, out: Any, at: Any) -> None:
        """Add the two pixels of a sum and write the three colours."""
        total = self.add(total, self._shuffled(total, total, [3, 4, 5, 3, 4, 5, 3, 4]))
        at = self._builder.gep(out, [at])
        for k in range(3):
            value = self._builder.extract_element(total, ir.IntType(32)(k))
            self._builder.store(value, self._builder.gep(at, [ir.IntType(64)(k)]))

    def add(self, a: Any, b: Any) -> Any:
        return self._builder.fadd(a, b, flags=("contract",))

    def _times(self, a: Any, b: Any) -> Any:
        return self._builder.fmul(a, b, flags=("contract",))

    def _load(self, start: Any, offset: int) -> Any:
        """Eight values of an array."""
        at = self._builder.gep(start, [ir.IntType(64)(offset)])
        return self._builder.load(self._builder.bitcast(at, self._type.as_pointer()), align=4)

    def _weight(self, weights: Any, number: int, i: Any) -> Any:
        """One weight of pixel ``i`` in every place of a vector."""
        value = self._builder.load(self._builder.gep(weights, [self._builder.add(i, ir.IntType(64)(number * RUN))]))
        one = self._builder.insert_element(ir.Constant(self._type, ir.Undefined), value, ir.IntType(32)(0))
        return self._shuffled(one, one, [0] * 8)

    def _pick(self, a: Any, b: Any) -> Any:
        """``a`` for the three colours of one pixel, ``b`` for those of the next, and for what follows."""
        return self._shuffled(a, b, [0, 1, 2, 11, 12, 13, 14, 15])

    def _shuffled(self, a: Any, b: Any, places: list[int]) -> Any:
        """Elements of ``a`` (0 to 7) and ``b`` (8 to 15)."""
        return self._builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), 8), places))
