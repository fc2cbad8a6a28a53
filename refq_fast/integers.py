"""Products of 8-bit codes of x with 4- or 8-bit codes of a weight, exact: LANES rows of the weight side by side.

Codes of the weight are stored as u = q + 2**(bits - 1), never negative, and lie as in `interleaved`. With zero points
a of x and c of u, sum (x - a)(u - c) = sum x u + c * (-sum x) + sum (u - c) * (-a): one dot product of bytes, and for
every PART inputs one of pairs of halves of words. Sums are taken modulo 2**32, which is no matter where they fit.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from refq_fast.grids.pack import pack_codes, unpack_codes
from refq_fast.interleaved import side_by_side, tiled
from refq_fast.kernel import inlined, parallel, serial
from refq_fast.simd import LANES, load_floats, load_words
from refq_fast.simd_integers import add_dots, add_pairs, add_reals, scaled, store_rows, zero_integers, zero_reals

ROWS, FEW = 8, 3  # rows of x at once; up to FEW go one by one
PART = 128  # inputs whose sums of x and of u - c, of 8 bits each, fit 16 bits
LONGEST = 2**31 // 255**2  # inputs of a group whose sums fit 32 bits whatever the codes are
TILES = 4  # a task
CACHE = 2**18  # bytes of x that stay in a core's second-level cache


class Integers(NamedTuple):
    """A weight (out, groups * size), ready for `sums` and `product`."""

    out: int
    size: int  # inputs of a group
    bits: int  # 4 or 8
    codes: np.ndarray  # uint32 (tiles, words * LANES): 8 codes of 4 bits a word, or 4 of 8; groups begin with a word
    pairs: np.ndarray  # uint32 (tiles, parts * LANES): c in the lower half, sum (u - c) in the upper one
    scale: np.ndarray  # (tiles, groups * LANES): float32, or uint16 bits of float16


def weight(packed, scale, zero_point, bits, length):
    """Rows of `length` packed codes as Integers, or None where a zero point is far off, or a sum may be too large."""
    (out, groups), wide = scale.shape, 4 if bits <= 4 else 8
    size, zeros = length // groups, zero_point + 2 ** (wide - 1)
    if scale.dtype != np.float32 or not out or size > LONGEST or zeros.min() < 2**wide - 256 or zeros.max() > 255:
        return None
    if bits != wide or (groups > 1 and size % (32 // wide)):  # groups begin with a word
        rest = ((0, 0), (0, 0), (0, -size % (32 // wide)))
        codes = np.pad(unpack_codes(packed, bits, length).reshape(out, groups, size), rest)
        packed = pack_codes(codes.reshape(out, -1), wide)
    return paired(side_by_side(packed, wide), tiled(scale), tiled(zeros.astype(np.int16)), (out, length, wide))


def of(weight, length):
    """An interleaved.Interleaved for x of this width as Integers that share its codes, or None as above."""
    if length * LANES // weight.scale.shape[1] > LONGEST:
        return None
    return paired(weight.codes, weight.scale, weight.zero_point, (weight.out, length, 4))


def paired(codes, scale, zero_point, shape):
    """Codes, scale and c in tiles (c perhaps one row for all tiles) as Integers of a shape (out, in, bits)."""
    out, length, bits = shape
    size = length // (scale.shape[1] // LANES)
    found = Integers(out, size, bits, codes, np.empty((0, 0), np.uint32), scale)
    ones = _laid_out(np.ones((1, length), np.int8), np.zeros(1, np.int32), found)[1][0]
    pairs = np.empty((len(codes), scale.shape[1] * -(-size // PART)), np.uint32)
    _pair_up(_shape(found), codes, zero_point, ones, (0,), pairs)
    return found._replace(pairs=pairs)


def sums(q, zero_point, weight):
    """int32 (rows, out, groups) of q int8 (rows, in) and zero_point int32 (rows,)."""
    rows, x = _laid_out(q, zero_point, weight)
    y = np.empty((len(x[0]) * len(rows), weight.scale.shape[1] // LANES, len(weight.codes) * LANES), np.int32)
    _whole_products(_shape(weight), weight[3:], x, rows, y)
    return np.ascontiguousarray(y[: len(q), :, : weight.out].swapaxes(1, 2))


def product(q, zero_point, step, weight):
    """float32 (rows, out): the sums times the scale of their group, added up, times the step (rows,) of the row."""
    rows, x = _laid_out(q, zero_point, weight)
    steps = np.zeros((len(x[0]), len(rows)), np.float32)
    steps.reshape(-1)[: len(q)] = step
    y = np.empty((len(x[0]) * len(rows), len(weight.codes) * LANES), np.float32)
    _real_products(_shape(weight), weight[3:], (*x, steps), rows, y)
    return np.ascontiguousarray(y[: len(q), : weight.out])


def _shape(weight):
    """Bits of a code, inputs and words of a group."""
    return weight.bits, weight.size, weight.codes.shape[1] // weight.scale.shape[1]


def _laid_out(q, zero_point, weight):
    """A tuple as long as rows of x meet a tile at once; the codes of so many rows side by side, and their pairs."""
    rows = (0,) * (1 if len(q) <= FEW else ROWS)
    blocks, (bits, size, words) = -(-len(q) // len(rows)), _shape(weight)
    groups = q.shape[1] // size
    x = np.zeros((blocks, groups * words * (8 // bits) * len(rows)), np.int32)
    pairs = np.zeros((blocks, groups * -(-size // PART) * len(rows)), np.int32)
    _turn(np.ascontiguousarray(q), zero_point, (size, 32 // bits, groups), rows, x, pairs)
    return rows, (x, pairs)


@parallel
def _turn(q, zero_point, shape, rows, x, pairs):
    """Codes of a row are words: 4 neighbours, or of 8 of them the even ones, then the odd ones."""
    size, unit, groups = shape
    step, parts, words = unit // 4, (size + PART - 1) // PART, (size + unit - 1) // unit * (unit // 4)
    for block in prange(len(x)):
        room = np.zeros(words * 4, np.int8)
        for i in range(min(len(rows), len(q) - block * len(rows))):
            row = block * len(rows) + i
            for group in range(groups):
                room[:size] = q[row, group * size : (group + 1) * size]
                for part in range(parts):
                    total = np.int32(0)
                    for code in room[part * PART : (part + 1) * PART]:
                        total -= np.int32(code)
                    pairs[block, (group * parts + part) * len(rows) + i] = _pair(total, -zero_point[row])
                for word in range(words):
                    first = word // step * unit + word % step
                    x[block, (group * words + word) * len(rows) + i] = _word(room, first, step)


@parallel
def _pair_up(shape, codes, zero_point, ones, rows, pairs):
    bits, size, words = shape
    parts, step = (size + PART - 1) // PART, PART * bits // 32
    for tile in prange(len(codes)):
        room, zeros = np.empty(LANES, np.int32), zero_point[tile % len(zero_point)]
        for at in range(pairs.shape[1] // LANES):
            group, part = at // parts, at % parts
            first = group * words + part * step
            last = min(first + step, (group + 1) * words)
            store_rows(room, 0, LANES, _part(bits, codes[tile], ones[0], rows, zero_integers(rows), first, last))
            for lane in range(LANES):
                c = np.int32(zeros[group * LANES + lane])
                total = room[lane] - c * np.int32(min(PART, size - part * PART))
                pairs[tile, at * LANES + lane] = np.uint32(_pair(c, total))


@inlined
def _word(codes, first, step):
    word = np.int32(codes[first]) & 255
    word |= (np.int32(codes[first + step]) & 255) << 8
    word |= (np.int32(codes[first + 2 * step]) & 255) << 16
    return word | np.int32(codes[first + 3 * step]) << 24


@inlined
def _pair(low, high):
    return np.int32(low) & 0xFFFF | np.int32(high) << 16


@parallel
def _whole_products(shape, weight, x, rows, y):
    tiles, blocks = len(weight[0]), len(x[0])
    for task in prange((tiles + TILES - 1) // TILES):
        for tile in range(task * TILES, min(task * TILES + TILES, tiles)):
            for block in range(blocks):
                place = y[block * len(rows) :, :, tile * LANES :]
                _whole_tile(shape, weight[0][tile], weight[1][tile], x[0][block], x[1][block], rows, place)


@serial
def _whole_tile(shape, codes, pairs, x, x_pairs, rows, y):
    room = np.empty(len(rows) * LANES, np.int32)
    for group in range(y.shape[1]):
        store_rows(room, 0, LANES, _group(shape, codes, pairs, x, x_pairs, rows, group))
        for i in range(len(rows)):
            y[i, group, :LANES] = room[i * LANES : i * LANES + LANES]


@parallel
def _real_products(shape, weight, x, rows, y):
    tiles, blocks = len(weight[0]), len(x[0])
    pass_ = max(1, CACHE // (4 * x[0].shape[1]))
    for task in prange((tiles + TILES - 1) // TILES):
        for start in range(0, blocks, pass_):
            for tile in range(task * TILES, min(task * TILES + TILES, tiles)):
                codes, pairs, scale = weight[0][tile], weight[1][tile], weight[2][tile]
                for block in range(start, min(start + pass_, blocks)):
                    found = _real_tile(shape, codes, pairs, scale, x[0][block], x[1][block], rows)
                    at = block * len(rows) * y.shape[1] + tile * LANES
                    store_rows(y.reshape(-1), at, y.shape[1], scaled(found, x[2][block], 0))


@inlined
def _real_tile(shape, codes, pairs, scale, x, x_pairs, rows):
    found = zero_reals(rows)
    for group in range(len(scale) // LANES):
        whole = _group(shape, codes, pairs, x, x_pairs, rows, group)
        found = add_reals(found, whole, load_floats(scale, group * LANES))
    return found


@inlined
def _group(shape, codes, pairs, x, x_pairs, rows, group):
    """The sums of one group: LANES rows of the weight with those of a block of x."""
    bits, size, words = shape
    parts, step = (size + PART - 1) // PART, PART * bits // 32
    found = zero_integers(rows)
    for part in range(parts):
        first = group * words + part * step
        found = _part(bits, codes, x, rows, found, first, min(first + step, (group + 1) * words))
        at = group * parts + part
        found = add_pairs(found, load_words(pairs, at * LANES), x_pairs, at * len(rows))
    return found


@inlined
def _part(bits, codes, x, rows, found, first, last):
    if bits == 4:
        for word in range(first, last):
            both, k = load_words(codes, word * LANES), 2 * word * len(rows)
            found = add_dots(found, both & 0x0F0F0F0F, x, k)
            found = add_dots(found, (both >> 4) & 0x0F0F0F0F, x, k + len(rows))
    else:
        for word in range(first, last):
            found = add_dots(found, load_words(codes, word * LANES), x, word * len(rows))
    return found
