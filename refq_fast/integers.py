"""Products of codes of x with 4- or 8-bit codes of a weight, exact: LANES rows of the weight side by side.

Codes of the weight are stored as u = q + 2**(bits - 1), never negative, and lie as in `interleaved`. With zero points
a of x and c of u, sum (x - a)(u - c) = sum x u + c * (-sum x) + sum (u - c) * (-a): one dot product of bytes, and for
every PART inputs one of pairs of halves of words. Sums are taken modulo 2**32, which is no matter where they fit.
Up to FEW rows of x go through `one_row`, more in blocks. There a code of more than 8 bits is two rows, its limbs, whose
sums are put together in 32 bits, or in float64 where a group is long.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from refq import checks
from refq_fast import blocks
from refq_fast.blocks import PART
from refq_fast.grids.pack import pack_codes, unpack_codes
from refq_fast.kernel import inlined, parallel, serial
from refq_fast.one_row import LONG, ONES, of_codes, to_codes
from refq_fast.simd import LANES, load_floats, load_words, store
from refq_fast.simd_integers import (
    add_dots,
    add_pairs,
    add_reals,
    dots,
    load_integers,
    long_to_reals,
    prefetch,
    scaled,
    splat_word,
    store_rows,
    to_reals,
    zero_integers,
    zero_reals,
    zero_words,
)
from refq_fast.tiles import side_by_side, tiled

ROWS, FEW = 8, 3  # rows of a block; up to FEW rows go one by one
WIDEST = 15  # bits of a code of x that two limbs hold
TILES = 4  # a task
SMALL = 2**16  # words below which starting threads costs more than they save
CACHE = 2**18  # bytes of x that stay in a core's second-level cache


class Integers(NamedTuple):
    """A weight (out, groups * size), ready for `sums` and `product`."""

    out: int
    size: int  # inputs of a group
    bits: int  # 4 or 8
    reach: int  # the largest |u - c| there can be
    codes: np.ndarray  # uint32 (tiles, words * LANES): 8 codes of 4 bits a word, or 4 of 8; groups are whole eights
    scale: np.ndarray  # (tiles, groups * LANES): float32, or uint16 bits of float16
    zero_point: np.ndarray  # c: int8 or int16 (tiles, groups * LANES), or (1, groups * LANES) where all tiles agree


def weight(packed, scale, zero_point, bits, length):
    """Rows of `length` packed codes as Integers, or None where a zero point is far off."""
    (out, groups), wide = scale.shape, 4 if bits <= 4 else 8
    size, zeros = length // groups, zero_point + 2 ** (wide - 1)
    if scale.dtype != np.float32 or not out or zeros.min() < 2**wide - 256 or zeros.max() > 255:
        return None
    if bits != wide or (groups > 1 and size % 8):
        rest = ((0, 0), (0, 0), (0, -size % 8))
        codes = np.pad(unpack_codes(packed, bits, length).reshape(out, groups, size), rest)
        packed = pack_codes(codes.reshape(out, -1), wide)
    parts = side_by_side(packed, wide), tiled(scale), tiled(zeros.astype(np.int16))
    return Integers(out, size, wide, _reach(zeros, wide), *parts)


def of(weight, length):
    """An interleaved.Interleaved for x of this width as Integers, which are the same arrays."""
    size = length * LANES // weight.scale.shape[1]
    return Integers(weight.out, size, 4, _reach(weight.zero_point, 4), *weight[1:])


def exact(weight, bits):
    """Whether codes of x of so many bits fit two limbs, and the sums of each 32 bits."""
    bits = checks.bit_width(bits, largest=16)
    return bits <= WIDEST and min(2**bits - 1, 255) * weight.reach * weight.size < 2**31


def sums(q, zero_point, weight):
    """int32 (rows, out, groups) of codes q int32 (rows, in) of at most 8 bits and zero_point int32 (rows,)."""
    rows = (0,) * (1 if len(q) <= FEW else ROWS)
    codes, pairs, _ = blocks.rooms(len(q), 1, rows, _shape(weight), weight.scale.shape[1] // LANES)
    blocks.of_codes(q, zero_point, _shape(weight), rows, codes, pairs)
    y = np.empty((len(codes) * len(rows), weight.scale.shape[1] // LANES, len(weight.codes) * LANES), np.int32)
    _whole_products(_shape(weight), weight[4:], (codes, pairs), rows, y)
    return np.ascontiguousarray(y[: len(q), :, : weight.out].swapaxes(1, 2))


def product(x, bits, symmetric, weight):
    """float32 (rows, out) of rows of x made codes of at most WIDEST bits; None where a row is not finite, or too wide.

    Sums times the scale of their group, added up, times the step of the row.
    """
    if len(x) <= FEW:
        y = np.empty((len(x), len(weight.codes) * LANES), np.float32)
        work = _few_rows if weight.codes.size >= SMALL else _few_rows_alone
        finite = work(x, bits, symmetric, weight.bits, *weight[4:], y)
    else:
        limbs = 1 if bits <= 8 else 2
        rows, tokens = (0,) * ROWS, (0,) * (ROWS // limbs)
        codes, pairs, steps = blocks.rooms(len(x), limbs, rows, _shape(weight), weight.scale.shape[1] // LANES)
        blocks.of_reals(x, bits, symmetric, _shape(weight), rows, codes, pairs, steps)
        y = np.empty((steps.size, len(weight.codes) * LANES), np.float32)
        _real_products(_shape(weight), weight[4:], (codes, pairs, steps), rows, tokens, y)
        finite = np.isfinite(steps.reshape(-1)[: len(x)]).all()
    y = y if y.shape == (len(x), weight.out) else np.ascontiguousarray(y[: len(x), : weight.out])
    return y if finite else None


def _shape(weight):
    """Bits of a code, words of a group and parts of it."""
    return weight.bits, weight.codes.shape[1] // weight.scale.shape[1], -(-weight.size // PART)


# Rooms are made here: what Python does for a call costs ten times as much once weights have filled the caches.


@serial
def _few_rows_alone(x, bits, symmetric, unit, codes, scale, zero_point, y):
    words, sums, steps, zeros, finite = _as_codes(x, bits, symmetric, unit, codes, scale)
    for row in range(len(x)):
        row_of_x = words[row], sums[row], steps[row], zeros[row]
        of_codes(codes, scale, zero_point, *row_of_x, y[row], 0, len(codes))
    return finite


@serial
def _as_codes(x, bits, symmetric, unit, codes, scale):
    """What `to_codes` makes of each row, and whether all steps are finite; unit: bits of a code of the weight."""
    limbs, count = 1 if bits <= 8 else 2, codes.shape[1] // LANES * 8 // unit
    words, sums = np.empty((len(x), limbs, count), np.int32), np.empty((len(x), scale.shape[1] // LANES), np.int32)
    steps, zeros, finite = np.empty(len(x), np.float32), np.empty(len(x), np.int32), True
    for row in range(len(x)):
        steps[row], zeros[row] = to_codes(x[row], bits, symmetric, words[row], sums[row])
        finite &= np.isfinite(steps[row])
    return words, sums, steps, zeros, finite


@parallel
def _few_rows(x, bits, symmetric, unit, codes, scale, zero_point, y):
    words, sums, steps, zeros, finite = _as_codes(x, bits, symmetric, unit, codes, scale)
    tiles = len(codes)
    for task in prange((tiles + TILES - 1) // TILES):
        for row in range(len(x)):
            row_of_x, last = (words[row], sums[row], steps[row], zeros[row]), min(task * TILES + TILES, tiles)
            of_codes(codes, scale, zero_point, *row_of_x, y[row], task * TILES, last)
    return finite


@parallel
def _whole_products(shape, weight, x, rows, y):
    for task in prange((len(weight[0]) + TILES - 1) // TILES):
        pairs = np.empty(weight[2].shape[1] * shape[2], np.uint32)
        room = np.empty(len(rows) * LANES, np.int32)
        for tile in range(task * TILES, min(task * TILES + TILES, len(weight[0]))):
            _pair_up(shape, weight[0][tile], weight[2][tile % len(weight[2])], pairs)
            for block in range(len(x[0])):
                for group in range(y.shape[1]):
                    found = _group(shape, weight[0][tile], pairs, x[0][block], x[1][block], rows, group)
                    store_rows(room, 0, LANES, found)
                    for i in range(len(rows)):
                        at = i * LANES
                        y[block * len(rows) + i, group, tile * LANES : (tile + 1) * LANES] = room[at : at + LANES]


@parallel
def _real_products(shape, weight, x, rows, tokens, y):
    tiles, count = len(weight[0]), len(x[0])
    pass_ = max(1, CACHE // (4 * x[0].shape[1]))
    for task in prange((tiles + TILES - 1) // TILES):
        pairs = np.empty((TILES, weight[2].shape[1] * shape[2]), np.uint32)
        for start in range(0, count, pass_):
            for tile in range(task * TILES, min(task * TILES + TILES, tiles)):
                codes, scale, own = weight[0][tile], weight[1][tile], pairs[tile % TILES]
                if start == 0:
                    _pair_up(shape, codes, weight[2][tile % len(weight[2])], own)
                for block in range(start, min(start + pass_, count)):
                    found = _real_tile(shape, codes, own, scale, x[0][block], x[1][block], rows, tokens)
                    at = block * len(tokens) * y.shape[1] + tile * LANES
                    store_rows(y.reshape(-1), at, y.shape[1], scaled(found, x[2][block], 0))


@serial
def _pair_up(shape, codes, zero_point, pairs):
    """Of a tile, for each part of a group: c in the lower half of a word, sum (u - c) in the upper one."""
    bits, words, parts = shape
    step = PART * bits // 32
    for at in range(pairs.size // LANES):
        group, first, total = at // parts, at // parts * words + at % parts * step, zero_words()
        last = min(first + step, (group + 1) * words)
        for word in range(first, last):
            u = load_words(codes, word * LANES)
            if bits == 4:
                u = (u & 0x0F0F0F0F) + ((u >> 4) & 0x0F0F0F0F)  # two bytes of 4 bits are a byte
            total = dots(total, u, ONES)
        c = load_integers(zero_point, group * LANES)
        total = total - c * splat_word(np.int32((last - first) * 32 // bits))
        store(pairs, at * LANES, (total << 16) + (c & 0xFFFF))


@inlined
def _real_tile(shape, codes, pairs, scale, x, x_pairs, rows, tokens):
    found, long = zero_reals(tokens), shape[1] * 32 // shape[0] > LONG
    for group in range(len(scale) // LANES):
        whole = _group(shape, codes, pairs, x, x_pairs, rows, group)
        reals = long_to_reals(whole, tokens) if long else to_reals(whole, tokens)
        found = add_reals(found, reals, load_floats(scale, group * LANES))
    return found


@inlined
def _group(shape, codes, pairs, x, x_pairs, rows, group):
    """The sums of one group: LANES rows of the weight with those of a block of x."""
    bits, words, parts = shape
    found, step = zero_integers(rows), PART * bits // 32
    for part in range(parts):
        at = group * parts + part
        first = group * words + part * step
        last = min(first + step, (group + 1) * words)
        if bits == 4:
            for word in range(first, last):
                prefetch(codes, word * LANES + len(codes))  # the next tile
                both, k = load_words(codes, word * LANES), 2 * word * len(rows)
                found = add_dots(found, both & 0x0F0F0F0F, x, k)
                found = add_dots(found, (both >> 4) & 0x0F0F0F0F, x, k + len(rows))
        else:
            for word in range(first, last):
                prefetch(codes, word * LANES + len(codes))
                found = add_dots(found, load_words(codes, word * LANES), x, word * len(rows))
        found = add_pairs(found, load_words(pairs, at * LANES), x_pairs, at * len(rows))
    return found


def _reach(zero_point, bits):
    """The largest |u - c| that a code u of these bits could give."""
    return max(int(zero_point.max()), 2**bits - 1 - int(zero_point.min()))
