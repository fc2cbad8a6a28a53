"""Rows of a weight, as they are stored, to packed codes, grids and errors: one pass, each row out of the cache."""

import numpy as np
from numba import types
from numba.extending import overload

from refq.grids.affine import quantize
from refq.ranges.minmax import minmax
from refq_fast import threads
from refq_fast.grids.pack import pack_row
from refq_fast.kernel import inlined, serial
from refq_fast.ranges.minmax import ends
from refq_fast.ranges.mse import grid, rule
from refq_fast.simd import LANES, load_floats, maximum, minimum, splat, store
from refq_fast.simd_groups import add_squares, largest, magnitude, store_codes, total, zero_doubles
from refq_fast.simd_integers import prefetch, rint
from refq_fast.simd_squares import largest_of_each

MOST = 65504  # of float16
_EXPONENT = 0x7C00  # of a float16, all ones
_HALF = np.float32(2.0**112)  # corrects the bias of a float16 whose fields stand where those of a float32 do


def rounded(w, bits, limits, group_size, symmetric=True, known=None, original=None):
    """Twin of refq.jobs.rounding.rounded: the same codes, grids and largest error; the sums in another order."""
    rows, width = w.shape
    words = -(-width * bits // 32)
    packed = np.empty((rows, 4 * words), np.uint8)
    packed[:, width * bits // 8 :] = 0  # a last word may have unused bits
    shape = rows, width // group_size
    scale, zero_point = np.empty(shape, np.float32), np.empty(shape, np.int32)
    if known is not None:
        scale[:], zero_point[:] = known[0][..., 0], known[1][..., 0]
    errors = np.empty((rows, 3))
    fit = known is None
    form = rule(np.float32, *limits, symmetric, "float16")

    stored = _words(w)
    other = stored[:, :0] if original is None else _words(original)

    def kernel(w, original, packed, scale, zero_point, errors):
        _rounded(w, original, bits, fit, form, packed, scale, zero_point, errors)

    threads.over_rows(kernel, stored, other, packed, scale, zero_point, errors)
    signal, noise, worst = float(errors[:, 0].sum()), float(errors[:, 1].sum()), float(errors[:, 2].max())
    if not np.isfinite(signal):  # or a scale is not; the reference says what is wrong
        groups = w.astype(np.float32).reshape(*shape, group_size)
        quantize(groups, *(known or minmax(groups, *limits, symmetric, "float16")), *limits)
    return packed.view("<i4").astype(np.int32, copy=False), scale, zero_point, (signal, noise, worst)


def _words(w):
    """bfloat16 as int16, float16 as uint16: so the kernels tell them apart."""
    return np.ascontiguousarray(w).view({"bfloat16": np.int16, "float16": np.uint16}.get(w.dtype.name, np.float32))


@serial
def _rounded(w, original, bits, fit, rule, packed, scale, zero_point, errors):
    rows, width = w.shape
    groups = scale.shape[1]
    reach, x, q = np.zeros((2, groups), np.float32), np.empty((2, width), np.float32), np.empty(width, np.int8)
    for row in range(rows):
        real = _real(w[row], x[0])
        if fit:
            if rule[2]:
                _reach(real, reach[1])
            else:
                ends(real, reach[0], reach[1])
            for g in range(groups):
                scale[row, g], z = grid(reach[0, g], reach[1, g], rule)
                zero_point[row, g] = np.int32(z)
        before = _real(original[row], x[1]) if original.size else real
        following = w.reshape(-1), (row + 1) * width
        _codes(real, before, (scale[row], zero_point[row], rule), following, q, errors[row])
        pack_row(q, bits, 1 << (bits - 1), packed[row])


def _real(words, x):
    """A row as float32: itself, or x, which is then filled."""
    raise NotImplementedError("for kernels only")


@overload(_real)
def _by_kind(words, x):
    if words.dtype == types.float32:
        return lambda words, x: words
    if words.dtype == types.int16:
        return lambda words, x: _from_bfloat16(words, x)
    return lambda words, x: _from_float16(words, x)


@serial
def _from_bfloat16(words, x):
    bits = x.view(np.int32)
    for i in range(x.size):
        bits[i] = np.int32(words[i]) << 16
    return x


@serial
def _from_float16(words, x):
    for i in range(0, x.size - x.size % LANES, LANES):
        store(x, i, load_floats(words, i))
    bits, most = x.view(np.int32), np.uint16(0)
    for i in range(x.size - x.size % LANES, x.size):
        bits[i] = np.int32(np.int16(words[i])) << 13 & -0x70000001
        x[i] *= _HALF
    for word in words:
        most = max(most, word & np.uint16(_EXPONENT))
    if most == _EXPONENT:  # of infinity and NaN, which the above takes for numbers
        x[0] = np.inf
    return x


@serial
def _reach(x, reach):
    """The largest magnitude of each group of a row; of groups that vectors divide, LANES side by side."""
    size = x.size // reach.size
    whole = size - size % LANES
    side_by_side = reach.size - reach.size % LANES if size == whole else 0
    square = np.empty(LANES * LANES, np.float32)
    for first in range(0, side_by_side, LANES):
        for g in range(LANES):
            store(square, g * LANES, _most(x, (first + g) * size, whole))
        store(reach, first, largest_of_each(square, 0))
    for g in range(side_by_side, reach.size):
        reach[g] = largest(_most(x, g * size, whole))
        for i in range(g * size + whole, g * size + size):
            reach[g] = max(reach[g], abs(x[i]))


@inlined
def _most(x, start, length):
    most = splat(np.float32(0))
    for i in range(start, start + length, LANES):
        most = maximum(magnitude(load_floats(x, i)), most)
    return most


@serial
def _codes(x, original, grid, following, q, errors):
    """Codes of a row, and the errors of what they stand for; meanwhile the row after it is brought into the cache."""
    scale, zero_point, rule = grid
    size = x.size // scale.size
    whole = size - size % LANES
    qmin, qmax = rule[0], rule[1]
    low, high = splat(qmin), splat(qmax)
    signal, noise, most = zero_doubles(), zero_doubles(), splat(np.float32(0))
    strange = False
    for s in scale:
        strange |= not 0 < abs(s) <= MOST
    errors[:] = np.inf if strange else 0.0
    for g in range(scale.size):
        start = g * size
        s, z = splat(scale[g]), splat(np.float32(zero_point[g]))
        for i in range(start, start + whole, LANES):
            prefetch(following[0], following[1] + i)
            code = minimum(maximum(rint(load_floats(x, i) / s) + z, low), high)
            store_codes(q, i, code)
            real = load_floats(original, i)
            far = real - (code - z) * s
            signal, noise, most = add_squares(signal, real), add_squares(noise, far), maximum(magnitude(far), most)
        for i in range(start + whole, start + size):
            q[i] = np.int8(min(max(np.rint(x[i] / scale[g]) + np.float32(zero_point[g]), qmin), qmax))
            far = np.float64(original[i] - np.float32(np.int32(q[i]) - zero_point[g]) * scale[g])
            errors[0] += np.float64(original[i]) ** 2
            errors[1] += far**2
            errors[2] = max(errors[2], abs(far))
    errors[0] += total(signal)
    errors[1] += total(noise)
    errors[2] = max(errors[2], largest(most))
