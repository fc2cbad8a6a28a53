"""Products of one row of numbers with weights of any kind: each weight is a row of a table that says where it lies.

So what is compiled depends neither on the number of layers nor on how each of their weights is stored. Kinds:

    REAL   float32 (out, length)
    BYTES  codes int8 (out, length), scale and zero point float32 (out, groups)
    TILES  an interleaved.Interleaved
    CODES  an integers.Integers with zero points int16, which x meets as codes

With INPUT_BITS x is first put on its own grid, as token_quantize does it.
"""

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from refq_fast.kernel import merged, serial
from refq_fast.one_row import SMALLEST, of_codes, of_floats, to_codes, turn_row
from refq_fast.simd import LANES
from refq_fast.stored_rows import of_bytes, of_reals
from refq_fast.tokens import fitted

REAL, BYTES, TILES, CODES = range(4)
COLUMNS = ("kind", "slot", "out", "length", "width", "groups", "bits", "input_bits", "half", "zeros")
COLUMNS += ("codes", "scale", "zero_point", "bias", "place")
KIND, SLOT, OUT, LENGTH, WIDTH, GROUPS, BITS, INPUT_BITS, HALF, ZEROS, WEIGHT, SCALE, ZERO, BIAS, PLACE = range(15)


@serial
def prepare(table, x, room):
    """Make of x what the weights of a table need, a row of the room for each slot; gives their tiles and their codes.

    room: floats, words, sums, steps and zeros.
    """
    tiles, codes = 0, 0
    for w in range(len(table)):
        if w == 0 or table[w, SLOT] > table[w - 1, SLOT]:
            _prepare(table[w], x, room)
        tiles += _tiles(table[w])
        codes += table[w, OUT] * table[w, LENGTH]
    return tiles, codes


@serial
def multiply(table, biases, room, y, first, last):
    """y[place:][:out] = x, as prepared, times the transpose of each weight, plus its bias.

    Of tiles first..last-1 of all weights, counted through; whole tiles of y are written.
    """
    for w in range(len(table)):
        count = _tiles(table[w])
        if first < count and last > 0:
            _multiply(table[w], biases, room, y, max(first, 0), min(last, count))
        first, last = first - count, last - count


@serial
def _tiles(row):
    return (row[OUT] + LANES - 1) // LANES


@merged
def _prepare(row, x, room):
    floats, words, sums, steps, zeros = room
    slot, bits, x = row[SLOT], row[INPUT_BITS], x[: row[LENGTH]]
    real = floats[slot, : row[WIDTH]]
    real[len(x) :] = 0
    if row[KIND] == CODES:
        limbs, count = _limbs(row), row[WIDTH] // 4
        places = words[slot, : limbs * count].reshape(limbs, count)
        steps[slot], zeros[slot] = to_codes(x, bits, False, places, sums[slot, : row[GROUPS]])
        return
    real[: len(x)] = x
    if bits:
        _on_grid(real[: len(x)], bits)
    if row[KIND] == TILES:
        turn_row(real, real)


@serial
def _nothing(x):
    """0, or NaN where x holds NaN or infinity."""
    total = np.float32(0)
    for value in x:
        total += value * np.float32(0)
    return total


@serial
def _on_grid(x, bits):
    half = np.float32(1 << (bits - 1))
    low, high = -half, half - np.float32(1)
    step, zero, _ = fitted(x, (low, high, np.float32((1 << bits) - 1), SMALLEST), False)
    step += _nothing(x)
    for i in range(len(x)):
        x[i] = (min(max(np.rint(x[i] / step) + zero, low), high) - zero) * step


@merged
def _multiply(row, biases, room, y, first, last):
    """Tiles first..last-1 of one weight."""
    rows, y = (first * LANES, min(last * LANES, row[OUT])), y[row[PLACE] :]
    if row[KIND] >= TILES:
        tiles = _tiles(row), row[GROUPS] * LANES
        if row[HALF]:
            _tiled(row, carray(_pointer(row[SCALE]), tiles, np.uint16), room, y, first, last)
        else:
            _tiled(row, carray(_pointer(row[SCALE]), tiles, np.float32), room, y, first, last)
    elif row[KIND] == BYTES:
        _bytes(row, room[0][row[SLOT], : row[LENGTH]], y, *rows)
    else:
        w = carray(_pointer(row[WEIGHT]), (row[OUT] * row[LENGTH],), np.float32)
        of_reals(w, room[0][row[SLOT], : row[LENGTH]], y, *rows)
    if row[BIAS] >= 0:
        for i in range(rows[0], rows[1]):
            y[i] += biases[row[BIAS] + i]


@serial
def _tiled(row, scale, room, y, first, last):
    floats, words, sums, steps, zeros = room
    slot, zero_points = row[SLOT], (row[ZEROS], row[GROUPS] * LANES)
    codes = carray(_pointer(row[WEIGHT]), (_tiles(row), row[WIDTH] * row[BITS] // 32 * LANES), np.uint32)
    if row[KIND] == CODES:
        zero_point, limbs, count = carray(_pointer(row[ZERO]), zero_points, np.int16), _limbs(row), row[WIDTH] // 4
        places = words[slot, : limbs * count].reshape(limbs, count)
        of_codes(codes, scale, zero_point, places, sums[slot, : row[GROUPS]], steps[slot], zeros[slot], y, first, last)
    else:
        zero_point = carray(_pointer(row[ZERO]), zero_points, np.int8)
        of_floats(codes, scale, zero_point, floats[slot, : row[WIDTH]], y, first, last)


@serial
def _limbs(row):
    return 1 if row[INPUT_BITS] <= 8 else 2


@serial
def _bytes(row, x, y, first, last):
    shape = row[OUT], row[GROUPS]
    codes = carray(_pointer(row[WEIGHT]), (row[OUT] * row[LENGTH],), np.int8)
    scale = carray(_pointer(row[SCALE]), shape, np.float32)
    of_bytes(codes, scale, carray(_pointer(row[ZERO]), shape, np.float32), x, y, first, last)


@intrinsic
def _pointer(context, address):
    """An address as carray takes it."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate
