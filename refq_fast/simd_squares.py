"""Vectors as Numba values, continued: as many of them as they have lanes, the rows of a square."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from refq_fast.simd import LANES, floats, pointer, store_at, vector_at

_I32, _F32 = ir.IntType(32), ir.FloatType()


@intrinsic
def turn(context, x, index, step, y, place, stride):
    """y[place + j * stride + i] = x[index + i * step + j], i and j below LANES: a square of two flat float32 arrays."""

    def generate(context, builder, signature, args):
        at, to = (pointer(context, builder, signature, args[n : n + 2], kind) for n, kind in ((0, x), (3, y)))
        rows = []
        for _ in range(LANES):
            rows.append(vector_at(builder, at, _F32))
            at = builder.gep(at, [args[2]])
        for row in _turned(builder, rows):
            store_at(builder, row, to)
            to = builder.gep(to, [args[5]])
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, y, types.intp, types.intp), generate


@intrinsic
def smallest_of_each(context, array, index):
    """In lane i the smallest of array[index + i * LANES :][:LANES], of a flat float32 array without NaN."""

    def generate(context, builder, signature, args):
        return _of_each(builder, "<", pointer(context, builder, signature, args))

    return floats(array, types.intp), generate


@intrinsic
def largest_of_each(context, array, index):
    """In lane i the largest of array[index + i * LANES :][:LANES], of a flat float32 array without NaN."""

    def generate(context, builder, signature, args):
        return _of_each(builder, ">", pointer(context, builder, signature, args))

    return floats(array, types.intp), generate


def _turned(builder, rows):
    """The square of vectors turned: blocks off the diagonal change places, then so inside of each, down to numbers."""
    half = LANES // 2
    while half:
        for i in (i for i in range(LANES) if not i & half):
            rows[i], rows[i + half] = _exchanged(builder, rows[i], rows[i + half], half)
        half //= 2
    return rows


def _of_each(builder, order, at):
    """Rows are folded in pairs until one is left: each step halves the lanes that belong to a row."""
    rows = [vector_at(builder, builder.gep(at, [_I32(i * LANES)]), _F32) for i in range(LANES)]
    half = LANES // 2
    while half:
        for i in range(half):
            a, b = _exchanged(builder, rows[i], rows[i + half], half)
            rows[i] = builder.select(builder.fcmp_ordered(order, a, b), a, b)
        half //= 2
    return rows[0]


def _exchanged(builder, a, b, half):
    """a above b, in blocks of `half` lanes two by two: those off the diagonal change places."""
    kind = ir.VectorType(_I32, LANES)
    low = [lane if not lane & half else LANES + lane - half for lane in range(LANES)]
    high = [lane + half if not lane & half else LANES + lane for lane in range(LANES)]
    return (builder.shuffle_vector(a, b, ir.Constant(kind, mask)) for mask in (low, high))
