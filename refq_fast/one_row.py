"""One row of x times a weight as `interleaved` lays it out, tiles first..last-1: for callers that are compiled.

Serial; `codes`, `scale`, `zero_point` are those of an Interleaved, or of an Integers, which may have codes of 8 bits; y
has room for LANES numbers a tile. Rooms, for `groups` = scale.shape[1] // LANES and `columns` = codes.shape[1] // LANES
* 8 codes a row (4 instead of 8 where they have 8 bits):

    words, sums = np.empty((1, columns // 4), np.int32), np.empty(groups, np.int32)  # (2, ..) for 9 bits and more
    step, zero = to_codes(x, bits, symmetric, words, sums)  # once for all weights of these groups; bits 2..15
    of_codes(codes, scale, zero_point, words, sums, step, zero, y, first, last)

    turned = np.zeros(columns, np.float32)
    turn_row(x, turned)
    of_floats(codes, scale, zero_point, turned, y, first, last)

Of codes y is that of quantized_linear, bit for bit, where `integers.exact`. Codes of 9 bits and more are two limbs,
256 * words[1] + words[0], each of 8 bits with a sign, and so are zero points and sums of codes. The step is infinite
where the range of x overflows, and NaN where x is not finite.
"""

import numpy as np

from refq_fast.interleaved import AHEAD, dot, turn_row  # noqa: F401
from refq_fast.kernel import inlined, serial
from refq_fast.simd import LANES, load_floats, load_words, maximum, splat, store, where
from refq_fast.simd_integers import (
    add_dots,
    dots,
    load_integers,
    long_to_reals,
    prefetch,
    rint,
    splat_word,
    store_even_odd,
    to_reals,
    to_words,
    zero_words,
)
from refq_fast.tokens import over

SMALLEST = np.finfo(np.float32).smallest_subnormal
ONES = np.int32(0x01010101)
LONG = 256  # inputs of a group whose sums with codes of 15 bits fit 32


@serial
def to_codes(x, bits, symmetric, words, sums):
    """Codes of x as minmax of the row gives them, laid out; their step and their zero point."""
    half = np.float32(1 << (bits - 1))
    grid = -half, half - np.float32(1), np.float32((1 << bits - symmetric) - 1), SMALLEST
    lo, hi, mark = _reach(x)
    step, zero, _ = over(lo, hi, grid, symmetric)
    step += mark
    q, whole, low, high = np.empty(len(x), np.int32), len(x) // LANES * LANES, splat(grid[0]), splat(grid[1])
    for at in range(0, whole, LANES):
        value = maximum(rint(load_floats(x, at) / splat(step)) + splat(zero), low)
        store(q, at, to_words(where(value, high, value, high)))
    for at in range(whole, len(x)):
        q[at] = np.int32(min(max(np.rint(x[at] / step) + zero, grid[0]), grid[1]))
    laid_out(q, np.int32(zero), words, sums)
    return step, np.int32(zero)


@serial
def laid_out(q, zero, words, sums):
    """Codes as the kernel reads them, of each eight the even ones first, and the sums of code - zero of each group.

    What fills up the last eight of a group stands for 0.
    """
    limbs, groups = words.view(np.int8), len(sums)
    size, room = len(q) // groups, limbs.shape[1] // groups
    for group in range(groups):
        total = np.int32(0)
        for code in q[group * size : (group + 1) * size]:
            total = np.int32(total + code)
        sums[group] = total - zero * np.int32(size)
        if size < room:
            _store(q[group * size : (group + 1) * size], zero, limbs[:, group * room : (group + 1) * room])
    if size == room:
        _store(q, zero, limbs)


@serial
def _store(q, zero, limbs):
    whole = len(q) // LANES * LANES
    for at in range(0, whole, LANES):
        code = load_words(q, at)
        store_even_odd(limbs[0], at, code)
        if len(limbs) > 1:
            store_even_odd(limbs[1], at, (code + splat_word(np.int32(128))) >> 8)
    for at in range(whole, limbs.shape[1]):
        code, place = q[at] if at < len(q) else zero, at // 8 * 8 + at % 8 // 2 + at % 2 * 4
        limbs[0, place] = code
        if len(limbs) > 1:
            limbs[1, place] = (code + 128) >> 8


@serial
def of_codes(codes, scale, zero_point, words, sums, step, zero, y, first, last):
    """Tiles first..last-1 of the row that `to_codes` made."""
    wide, limbs, size = codes.shape[1] == words.shape[1] * LANES, len(words), codes.shape[1] // scale.shape[1]
    codes, scale, words = codes.reshape(-1), scale.reshape(-1), words.reshape(-1)
    for tile in range(first, last):
        c = zero_point[tile % len(zero_point)]
        if wide and limbs == 1:  # constants of each call, so that each gets a loop of its own
            total = _tile(codes, scale, c, words, sums, zero, tile, (4, 1, size))
        elif wide:
            total = _tile(codes, scale, c, words, sums, zero, tile, (4, 2, size))
        elif limbs == 1 and size == 4:
            total = _tile(codes, scale, c, words, sums, zero, tile, (8, 1, 4))
        elif limbs == 1:
            total = _tile(codes, scale, c, words, sums, zero, tile, (8, 1, size))
        else:
            total = _tile(codes, scale, c, words, sums, zero, tile, (8, 2, size))
        store(y, tile * LANES, total * splat(step))


@serial
def of_floats(codes, scale, zero_point, turned, y, first, last):
    """Tiles first..last-1 of the row that `turn_row` made."""
    for tile in range(first, last):
        dot(codes[tile], scale[tile], zero_point[tile % len(zero_point)], turned, y, tile * LANES)


@serial
def _reach(x):
    """The smallest and the largest of x and 0; and 0, or NaN where x is not finite."""
    lo = hi = mark = np.float32(0)
    low, high, marks, room = splat(lo), splat(hi), splat(mark), np.empty(LANES, np.float32)
    whole = len(x) // LANES * LANES
    for at in range(0, whole, LANES):
        value = load_floats(x, at)
        low, high, marks = where(value, low, value, low), maximum(value, high), marks + value * splat(mark)
    for sums in (low, high, marks):
        store(room, 0, sums)
        for value in room:
            lo, hi, mark = min(lo, value), max(hi, value), mark + value * np.float32(0)
    for value in x[whole:]:
        lo, hi, mark = min(lo, value), max(hi, value), mark + value * np.float32(0)
    return lo, hi, mark


@inlined
def _tile(codes, scale, zero_point, words, sums, zero, tile, kind):
    """LANES sums of groups times their scale, by codes a word, limbs, and words a group.

    With codes u of the weight and c for 0 in them, (x - a)(u - c) = x u - a u - c (x - a).
    """
    total, groups, (unit, limbs, size) = splat(np.float32(0)), len(sums), kind
    ahead = AHEAD // size
    for group in range(groups):
        at, c = tile * groups + group, load_integers(zero_point, group * LANES)
        prefetch(scale, at * LANES + ahead)
        found = zero_words() - c * splat_word(limb(sums[group], 0, limbs))
        upper = zero_words() - c * splat_word(limb(sums[group], 1, limbs))
        for first in range(0, size, 8):  # a sum each, so that none waits for the one before
            place = at * size + first, group * size + first
            more = _part(codes, words, place, min(8, size - first), zero, kind)
            found, upper = found + more[0], upper + more[1]
        both = found, upper
        (real,) = long_to_reals(both, (0,)) if size * unit > LONG else to_reals(both, (0,))
        total = total + real * load_floats(scale, at * LANES)
    return total


@inlined
def _part(codes, words, place, count, zero, kind):
    """Eight words: bytes of sixteen codes of 4 bits can be added up."""
    (at, k), (unit, limbs, _), second, sums = place, kind, len(words) // 2, zero_words()
    found, more, upper = (sums,), (sums,), (sums,)
    for i in range(count):
        prefetch(codes, (at + i) * LANES + AHEAD)
        u = load_words(codes, (at + i) * LANES)
        if unit == 8:
            low, high = u & 0x0F0F0F0F, (u >> 4) & 0x0F0F0F0F
            place, sums = 2 * (k + i), sums + low + high
            found = add_dots(found, low, words, place)
            more = add_dots(more, high, words, place + 1)
            if limbs > 1:
                upper = add_dots(upper, low, words, second + place)
                upper = add_dots(upper, high, words, second + place + 1)
        else:
            sums = dots(sums, u, ONES)
            found = add_dots(found, u, words, k + i)
            if limbs > 1:
                upper = add_dots(upper, u, words, second + k + i)
    if unit == 8:
        sums = dots(zero_words(), sums, ONES)
    (found,), (more,), (upper,) = found, more, upper
    upper = upper - sums * splat_word(limb(zero, 1, limbs))
    return found + more - sums * splat_word(limb(zero, 0, limbs)), upper


@serial
def limb(number, place, limbs):
    """The limb at a place of a number: its own 8 bits with a sign, or what they leave; the number itself if alone."""
    if limbs == 1:
        return np.int32(0) if place else number
    return (number + np.int32(128)) >> 8 if place else ((number + np.int32(128)) & np.int32(255)) - np.int32(128)
