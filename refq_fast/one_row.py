"""One row of x times a weight as `interleaved` lays it out, tiles first..last-1: for callers that are compiled.

Serial; `codes`, `scale`, `zero_point` are those of an Interleaved; y has room for LANES numbers a tile. Rooms, for a
weight of `columns` = codes.shape[1] // LANES * 8 codes a row and `groups` = scale.shape[1] // LANES:

    words, sums = np.empty((1, columns // 4), np.int32), np.empty(groups, np.int32)  # (2, ..) for 9 bits and more
    step, zero = to_codes(x, bits, symmetric, words, sums)  # once for all weights of these groups; bits 2..15
    of_codes(codes, scale, zero_point, words, sums, step, zero, y, first, last)

    turned = np.zeros(columns, np.float32)
    turn_row(x, turned)
    of_floats(codes, scale, zero_point, turned, y, first, last)

Of codes y is that of quantized_linear, bit for bit, where the sums of every group fit 32 bits. Codes of 9 bits and more
are two limbs, 256 * words[1] + words[0], each of 8 bits with a sign. x must be finite; the step is infinite where its
range overflows.
"""

import numpy as np

from refq_fast.interleaved import dot, turn_row  # noqa: F401
from refq_fast.kernel import inlined, serial
from refq_fast.simd import LANES, load_floats, load_words, maximum, splat, store, to_floats, where
from refq_fast.simd_integers import (
    dots,
    load_integers,
    prefetch,
    rint,
    splat_word,
    store_even_odd,
    to_words,
    zero_words,
)
from refq_fast.tokens import over

SMALLEST = np.finfo(np.float32).smallest_subnormal
AHEAD = 2**10  # words of codes: the processor is told of them 4 KB before they are needed
ONES = np.int32(0x01010101)


@serial
def to_codes(x, bits, symmetric, words, sums):
    """Codes of x as minmax of the row gives them, of each eight the even ones first, and the sums of code - zero."""
    half = np.float32(1 << (bits - 1))
    grid = -half, half - np.float32(1), np.float32((1 << bits - symmetric) - 1), SMALLEST
    lo, hi = _reach(x)
    step, zero, _ = over(lo, hi, grid, symmetric)
    limbs, whole = words.view(np.int8), len(x) // LANES * LANES
    low, high = splat(grid[0]), splat(grid[1])
    for at in range(0, whole, LANES):
        code = _codes(load_floats(x, at), splat(step), splat(zero), low, high)
        store_even_odd(limbs[0], at, code)
        if len(limbs) > 1:
            store_even_odd(limbs[1], at, (code + splat_word(np.int32(128))) >> 8)
    for at in range(whole, limbs.shape[1]):  # what lies beyond x stands for 0
        code = zero if at >= len(x) else min(max(np.rint(x[at] / step) + zero, grid[0]), grid[1])
        place = at // 8 * 8 + at % 8 // 2 + at % 2 * 4
        limbs[0, place] = np.int32(code)
        if len(limbs) > 1:
            limbs[1, place] = (np.int32(code) + 128) >> 8
    size = limbs.shape[1] // len(sums)
    for group in range(len(sums)):
        total = -np.int32(zero) * size
        for limb in range(len(limbs)):
            part = np.int32(0)
            for code in limbs[limb, group * size : (group + 1) * size]:
                part += np.int32(code)
            total += part << 8 * limb
        sums[group] = total
    return step, np.int32(zero)


@serial
def of_codes(codes, scale, zero_point, words, sums, step, zero, y, first, last):
    """Tiles first..last-1 of the row that `to_codes` made."""
    codes, scale = codes.reshape(-1), scale.reshape(-1)
    for tile in range(first, last):
        c = zero_point[tile % len(zero_point)]
        if len(words) == 1:  # a constant of each call, so that each gets a loop of its own
            total = _tile(codes, scale, c, words, sums, zero, tile, 1)
        else:
            total = _tile(codes, scale, c, words, sums, zero, tile, 2)
        store(y, tile * LANES, total * splat(step))


@serial
def of_floats(codes, scale, zero_point, turned, y, first, last):
    """Tiles first..last-1 of the row that `turn_row` made."""
    for tile in range(first, last):
        dot(codes[tile], scale[tile], zero_point[tile % len(zero_point)], turned, y, tile * LANES)


@serial
def _reach(x):
    """The smallest and the largest of x and 0."""
    lo = hi = np.float32(0)
    low, high, room = splat(lo), splat(hi), np.empty(LANES, np.float32)
    whole = len(x) // LANES * LANES
    for at in range(0, whole, LANES):
        value = load_floats(x, at)
        low, high = where(value, low, value, low), maximum(value, high)
    for sums in (low, high):
        store(room, 0, sums)
        for value in room:
            lo, hi = min(lo, value), max(hi, value)
    for value in x[whole:]:
        lo, hi = min(lo, value), max(hi, value)
    return lo, hi


@inlined
def _codes(x, step, zero, low, high):
    value = maximum(rint(x / step) + zero, low)
    return to_words(where(value, high, value, high))


@inlined
def _tile(codes, scale, zero_point, words, sums, zero, tile, limbs):
    """LANES sums of groups times their scale. With codes u of the weight and c for 0 in them, x - a times u - c is
    x u - a u - c (x - a): the first two as bytes, eight words at a time, whose bytes added up are still bytes."""
    total, groups = splat(np.float32(0)), len(sums)
    count = words.shape[1] // (2 * groups)
    for group in range(groups):
        at = tile * groups + group
        prefetch(scale, at * LANES + AHEAD // count)
        found = zero_words() - load_integers(zero_point, group * LANES) * splat_word(sums[group])
        for first in range(0, count, 8):
            last = min(first + 8, count)
            k = 2 * (group * count + first)
            found = _part(codes, (at * count + first) * LANES, words, k, last - first, found, zero, limbs)
        total = total + to_floats(found) * load_floats(scale, at * LANES)
    return total


@inlined
def _part(codes, at, words, k, count, found, zero, limbs):
    even, odd, upper, sums = found, zero_words(), zero_words(), zero_words()
    for word in range(count):
        prefetch(codes, at + word * LANES + AHEAD)
        both = load_words(codes, at + word * LANES)
        low, high = both & 0x0F0F0F0F, (both >> 4) & 0x0F0F0F0F
        sums = sums + low + high
        even = dots(even, low, words[0, k + 2 * word])
        odd = dots(odd, high, words[0, k + 2 * word + 1])
        if limbs > 1:
            upper = dots(upper, low, words[1, k + 2 * word])
            upper = dots(upper, high, words[1, k + 2 * word + 1])
    if limbs > 1:
        odd = odd + upper * splat_word(np.int32(256))
    return even + odd - dots(zero_words(), sums, ONES) * splat_word(zero)
