"""Products with 4-bit codes, LANES rows of the weight side by side: one lane a row, so no sum crosses lanes.

A tile is LANES rows. Its words stand column by column: word j of a lane holds the codes 8 j .. 8 j + 7 of that row, the
first in the lowest bits. A code is stored as code + 8, its zero point likewise. A code is not shifted down: at place i
of a half word it counts 16**i, and so does the zero point taken from it, while x has been multiplied by 16**-i. Nor is
it converted: below the exponent of 2**23 its bits are the number 2**23 + code, and the zero point is one as well.
All of that is exact (for x of at least 2**-114), so a product is x times (code - zero_point), rounded like any other.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from refq_fast.kernel import inlined, parallel, serial
from refq_fast.simd import (
    LANES,
    ROWS,
    add_products,
    add_scaled,
    as_floats,
    fma,
    load_floats,
    load_words,
    splat,
    store,
    store_block,
    to_floats,
    zero_block,
)
from refq_fast.simd_integers import prefetch
from refq_fast.tiles import side_by_side, tiled, untiled

TILES = 4  # a task
SMALL = 2**13  # words below which starting threads costs more than they save
CACHE = 2**17  # numbers of x that stay in a core's second-level cache
AHEAD = 5 * 2**9  # words of codes: the processor is told of them 10 KB before they are needed
LARGE = 2**23  # the last bit of a float32 from here on counts 1
LARGE_BITS = 0x4B000000


class Interleaved(NamedTuple):
    """A 4-bit weight, ready for `product`."""

    out: int
    codes: np.ndarray  # uint32 (tiles, words * LANES)
    scale: np.ndarray  # (tiles, groups * LANES): float32, or uint16 bits of float16 where that is exact
    zero_point: np.ndarray  # int8 (tiles, groups * LANES), or (1, groups * LANES) where all tiles have the same


def interleave(packed, scale, zero_point):
    """Canonical 4-bit bytes as an Interleaved, or None where a group has no whole words or a zero point is far off."""
    out, groups = scale.shape
    fits = groups == 1 or (groups > 0 and packed.shape[1] % (4 * groups) == 0)
    if scale.dtype != np.float32 or not fits or not out or not (-120 <= zero_point.min() <= zero_point.max() < 120):
        return None
    codes = side_by_side(packed, 4)
    with np.errstate(over="ignore"):
        half = scale.astype(np.float16)
    scale = half.view(np.uint16) if (half == scale).all() else scale
    same = (zero_point == zero_point[:1, :1]).all()
    zero_point = zero_point[: 1 if same else out].astype(np.int8) + np.int8(8)
    return Interleaved(out, codes, tiled(scale), tiled(np.repeat(zero_point, LANES, 0) if same else zero_point))


def stored(weight, row_bytes):
    """packed, scale, zero_point and bits of an Interleaved, as quantized_matmul takes them."""
    codes, scale, zero_point = (untiled(part, weight.out) for part in weight[1:])
    packed = (codes ^ np.uint32(0x88888888)).astype("<u4").view(np.uint8)[:, :row_bytes]
    scale = (scale.view(np.float16) if scale.dtype == np.uint16 else scale).astype(np.float32)
    zero_point = np.broadcast_to(zero_point.astype(np.int32) - 8, scale.shape)
    return np.ascontiguousarray(packed), scale, np.ascontiguousarray(zero_point), 4


def product(x, weight):
    """x (rows, in) float32 times the transpose of an Interleaved (out, in): (rows, out)."""
    rows = len(x)
    few = rows <= ROWS // 2
    y = np.empty((rows if few else -(-rows // ROWS) * ROWS, len(weight.codes) * LANES), np.float32)
    if few:
        (_few_rows if weight.codes.size >= SMALL else _few_rows_alone)(*weight[1:], x, y)
    else:
        turned = np.zeros((len(y) // ROWS, weight.codes.shape[1] // LANES * 8 * ROWS), np.float32)
        _turn_blocks(x, turned)
        _many_rows(*weight[1:], turned, y)
    return y if y.shape == (rows, weight.out) else np.ascontiguousarray(y[:rows, : weight.out])


def dequantized(weight):
    """The weight of an Interleaved as float32 (out, in), in padded to whole words."""
    w = np.empty((len(weight.codes) * LANES, weight.codes.shape[1] // LANES * 8), np.float32)
    _dequantize(*weight[1:], w)
    return w[: weight.out]


@serial
def turn_row(x, turned):
    """Each number times 16**-i, i = its place in half a word."""
    for k in range(len(x)):
        turned[k] = x[k] * _place(k)


@parallel
def _turn_blocks(x, turned):
    """As turn_row, and the ROWS numbers of a block side by side."""
    for block in prange(turned.shape[0]):
        for i in range(min(ROWS, x.shape[0] - block * ROWS)):
            for k in range(x.shape[1]):
                turned[block, k * ROWS + i] = x[block * ROWS + i, k] * _place(k)


@serial
def _place(k):
    return np.float32(1) / np.float32(1 << (4 * (k % 4)))


@parallel
def _few_rows(codes, scale, zero_point, x, y):
    tiles, turned = codes.shape[0], _turned(x, codes.shape[1] // LANES * 8)
    for task in prange((tiles + TILES - 1) // TILES):
        _few_rows_of(codes, scale, zero_point, turned, y, task * TILES, min((task + 1) * TILES, tiles))


@serial
def _few_rows_alone(codes, scale, zero_point, x, y):
    _few_rows_of(codes, scale, zero_point, _turned(x, codes.shape[1] // LANES * 8), y, 0, len(codes))


@serial
def _turned(x, count):
    turned = np.zeros((len(x), count), np.float32)
    for row in range(len(x)):
        turn_row(x[row], turned[row])
    return turned


@serial
def _few_rows_of(codes, scale, zero_point, x, y, first, last):
    for tile in range(first, last):
        zero = zero_point[tile % len(zero_point)]
        for row in range(len(x)):
            dot(codes[tile], scale[tile], zero, x[row], y[row], tile * LANES)


@serial
def dot(codes, scale, zero_point, x, y, at):
    """LANES dot products: a tile with one row of x; eight sums at a time, so that additions do not wait for another."""
    step, nothing = codes.size // scale.size, splat(np.float32(0))
    total = nothing
    for group in range(0, scale.size, LANES):
        z0, z1, z2, z3 = _zeros(load_floats(zero_point, group))
        a = b = c = d = e = f = g = h = nothing
        for word in range(group * step, (group + LANES) * step, LANES):
            prefetch(codes, word + AHEAD)
            low = load_words(codes, word)
            high = low >> 16
            k = word // LANES * 8
            a = fma(_float(low, 0xF) - z0, splat(x[k]), a)
            b = fma(_float(low, 0xF0) - z1, splat(x[k + 1]), b)
            c = fma(_float(low, 0xF00) - z2, splat(x[k + 2]), c)
            d = fma(_float(low, 0xF000) - z3, splat(x[k + 3]), d)
            e = fma(_float(high, 0xF) - z0, splat(x[k + 4]), e)
            f = fma(_float(high, 0xF0) - z1, splat(x[k + 5]), f)
            g = fma(_float(high, 0xF00) - z2, splat(x[k + 6]), g)
            h = fma(_float(high, 0xF000) - z3, splat(x[k + 7]), h)
        total = fma(((a + b) + (c + d)) + ((e + f) + (g + h)), load_floats(scale, group), total)
    store(y, at, total)


@inlined
def _float(word, mask):
    return as_floats(word & mask | LARGE_BITS)


@inlined
def _zeros(z):
    """The zero points of the four places of a half word, from LARGE on."""
    large, sixteen = splat(np.float32(LARGE)), splat(np.float32(16))
    z1 = z * sixteen
    z2 = z1 * sixteen
    return z + large, z1 + large, z2 + large, z2 * sixteen + large


@parallel
def _many_rows(codes, scale, zero_point, x, y):
    tiles, blocks = codes.shape[0], len(x)
    pass_ = max(1, CACHE // x.shape[1])
    for task in prange((tiles + TILES - 1) // TILES):
        for start in range(0, blocks, pass_):
            for tile in range(task * TILES, min((task + 1) * TILES, tiles)):
                zero = zero_point[tile % len(zero_point)]
                for block in range(start, min(start + pass_, blocks)):
                    at = block * ROWS * y.shape[1] + tile * LANES
                    _dots(codes[tile], scale[tile], zero, x[block], y.reshape(-1), at, y.shape[1])


@serial
def _dots(codes, scale, zero_point, x, y, at, columns):
    """ROWS times LANES dot products: a tile with a block of x."""
    step = codes.size // scale.size
    total = zero_block()
    for group in range(0, scale.size, LANES):
        z0, z1, z2, z3 = _zeros(load_floats(zero_point, group))
        sums = zero_block()
        for word in range(group * step, (group + LANES) * step, LANES):
            low = load_words(codes, word)
            high = low >> 16
            k = word // LANES * 8 * ROWS
            sums = add_products(sums, _float(low, 0xF) - z0, x, k, 1)
            sums = add_products(sums, _float(low, 0xF0) - z1, x, k + ROWS, 1)
            sums = add_products(sums, _float(low, 0xF00) - z2, x, k + 2 * ROWS, 1)
            sums = add_products(sums, _float(low, 0xF000) - z3, x, k + 3 * ROWS, 1)
            sums = add_products(sums, _float(high, 0xF) - z0, x, k + 4 * ROWS, 1)
            sums = add_products(sums, _float(high, 0xF0) - z1, x, k + 5 * ROWS, 1)
            sums = add_products(sums, _float(high, 0xF00) - z2, x, k + 6 * ROWS, 1)
            sums = add_products(sums, _float(high, 0xF000) - z3, x, k + 7 * ROWS, 1)
        total = add_scaled(total, load_floats(scale, group), sums)
    store_block(y, at, columns, total)


@parallel
def _dequantize(codes, scale, zero_point, w):
    for tile in prange(codes.shape[0]):
        _tile_of(codes[tile], scale[tile], zero_point[tile % len(zero_point)], w[tile * LANES : (tile + 1) * LANES])


@serial
def _tile_of(codes, scale, zero_point, w):
    step = codes.size // scale.size
    column = np.empty(LANES, np.float32)
    for group in range(0, scale.size, LANES):
        zero, factor = load_floats(zero_point, group), load_floats(scale, group)
        for word in range(group * step, (group + LANES) * step, LANES):
            value = load_words(codes, word)
            for k in range(word // LANES * 8, word // LANES * 8 + 8):
                store(column, 0, (to_floats(value & 0xF) - zero) * factor)
                value = value >> 4
                w[:, k] = column
