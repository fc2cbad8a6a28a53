"""Products with indices of codebooks of at most 16 entries: the table lies in one register, the indices permute it.

A row of the weight is words of LANES lanes; `width` bits of a lane are one index. Step s of a block of words holds the
inputs s * LANES .. s * LANES + LANES - 1 of that block, so that x is read as it lies. A table of fewer entries is
repeated up to 16: what stands above an index in its word changes nothing.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from refq.grids.pack import as_codes
from refq_fast import decoded
from refq_fast.grids.pack import pack_codes, unpack_codes
from refq_fast.kernel import inlined, parallel, serial
from refq_fast.simd import (
    LANES,
    ROWS,
    add_scaled,
    fma,
    load_block,
    load_floats,
    load_words,
    splat,
    store,
    store_block,
)
from refq_fast.simd_tables import across, entries

WIDTH = {1: 1, 2: 2, 3: 4, 4: 4}  # bits of an index in a word
UNIT = 8 * LANES  # inputs of eight steps: a group is whole units
TASK = 2**16  # indices of a task, at least
PART = 8  # units of x that stay in the first-level cache, ROWS rows of them
FEW, MANY = 3, 32  # rows of x up to which each is multiplied by itself, and from which looking up first costs less


class Permuted(NamedTuple):
    """A weight (out, in) of at most 4 bits, ready for `product`."""

    shape: tuple
    bits: int
    codes: np.ndarray  # uint32 (out, words * LANES)
    tables: np.ndarray  # float32 (out or 1, groups * 16)
    units: int  # of a group

    def of_width(self, length):
        """The same for an x of this width, or None where another would make other groups."""
        fits = self.tables.shape[1] == 16 or length == self.shape[1]
        return self._replace(shape=(self.shape[0], length)) if fits else None

    def stored(self):
        """packed, codebook and bits, as codebook_matmul takes them."""
        entries = np.tile(np.arange(16, dtype=np.float32), (1, self.tables.shape[1] // 16)) % 2**self.bits
        index = self._replace(tables=entries).looked_up().astype(np.uint8)
        tables = self.tables.reshape(len(self.tables), -1, 16)
        return pack_codes(as_codes(index, self.bits), self.bits), tables[..., : 2**self.bits].copy(), self.bits

    def product(self, x):
        """x (rows, in) float32 times the transpose: (rows, out)."""
        (out, length), bits, *parts = self
        if len(x) >= MANY:
            return decoded.product(x, out, self._look_up)
        many, chunk = len(x) > FEW, max(2, TASK // length // 2 * 2)
        rows = np.zeros((-(-len(x) // ROWS) * ROWS if many else len(x), -(-length // UNIT) * UNIT), np.float32)
        rows[: len(x), :length] = x
        y = np.empty((len(rows), out), np.float32)
        if many:  # what a step multiplies stands side by side
            rows = rows.reshape(-1, ROWS, rows.shape[1] // LANES, LANES).swapaxes(1, 2).reshape(len(rows) // ROWS, -1)
        (_many_rows if many else _few_rows)(*parts, WIDTH[bits], rows, y, chunk)
        return y[: len(x)]

    def looked_up(self):
        """The weight itself, as float32 (out, in)."""
        return decoded.whole(self.shape, np.float32, self._look_up)

    def _look_up(self, rows, w):
        tables = self.tables[rows] if len(self.tables) > 1 else self.tables
        _look_up(self.codes[rows], tables, self.units, WIDTH[self.bits], w)


def permute(packed, codebook, bits, length):
    """Rows of `length` packed indices and a codebook (out or 1, groups, 2**bits) as a Permuted, or None: no kernel."""
    (books, groups, k), out = codebook.shape, len(packed)
    size = length // groups
    if codebook.dtype != np.float32 or bits > 4 or (groups > 1 and size % UNIT) or not out:
        return None
    steps, index = 32 // WIDTH[bits], unpack_codes(packed, bits, length)
    codes = np.zeros((out, -(-length // (steps * LANES)) * LANES), np.uint32)
    _permute(index, k - 1, WIDTH[bits], codes)
    tables = np.ascontiguousarray(np.tile(codebook, (1, 1, 16 // k))).reshape(books, groups * 16)
    return Permuted((out, length), bits, codes, tables, -(-size // UNIT))


@parallel
def _permute(index, mask, width, codes):
    steps = 32 // width
    for row in prange(index.shape[0]):
        for i in range(index.shape[1]):
            step, lane = i // LANES, i % LANES
            word = np.uint32(index[row, i] & mask) << np.uint32(width * (step % steps))
            codes[row, step // steps * LANES + lane] |= word


@parallel
def _few_rows(codes, tables, units, width, x, y, chunk):
    out = len(codes)
    for task in prange((out + chunk - 1) // chunk):
        for row in range(task * chunk, min(task * chunk + chunk, out)):
            for i in range(len(x)):
                y[i, row] = _dot(codes[row], tables[row % len(tables)], units, width, x[i])


@serial
def _dot(codes, table, units, width, x):
    """The width is a constant of each call, so that each gets a loop of its own."""
    if width == 1:
        return _dot_of(codes, table, units, 1, x)
    if width == 2:
        return _dot_of(codes, table, units, 2, x)
    return _dot_of(codes, table, units, 4, x)


@serial
def _dot_of(codes, table, units, width, x):
    """One row of the weight with one of x; eight sums at a time, so that additions do not wait for another."""
    a = b = c = d = e = f = g = h = splat(np.float32(0))
    step, entry, left, count = 4 // width, 0, units, len(x) // UNIT
    for first in range(0, count, step):
        word = load_words(codes, first // step * LANES)
        for unit in range(first, min(first + step, count)):
            if left == 0:
                entry, left = entry + 16, units
            left -= 1
            at = unit * UNIT
            a = fma(entries(table, entry, word), load_floats(x, at), a)
            b = fma(entries(table, entry, word >> width), load_floats(x, at + LANES), b)
            c = fma(entries(table, entry, word >> 2 * width), load_floats(x, at + 2 * LANES), c)
            d = fma(entries(table, entry, word >> 3 * width), load_floats(x, at + 3 * LANES), d)
            e = fma(entries(table, entry, word >> 4 * width), load_floats(x, at + 4 * LANES), e)
            f = fma(entries(table, entry, word >> 5 * width), load_floats(x, at + 5 * LANES), f)
            g = fma(entries(table, entry, word >> 6 * width), load_floats(x, at + 6 * LANES), g)
            h = fma(entries(table, entry, word >> 7 * width), load_floats(x, at + 7 * LANES), h)
            if width < 4:
                word = word >> 8 * width
    return across(((a + b) + (c + d)) + ((e + f) + (g + h)))


@parallel
def _many_rows(codes, tables, units, width, x, y, chunk):
    out, books, count = len(codes), len(tables), x.shape[1] // (UNIT * ROWS)
    for task in prange((out + chunk - 1) // chunk):
        top, sums = task * chunk, np.empty((chunk, ROWS * LANES), np.float32)
        rows = min(chunk, out - top)
        for block in range(len(x)):
            sums[:] = 0
            for first in range(0, count, PART):
                part = first, min(first + PART, count)
                for i in range(0, rows, 2):
                    row, last = top + i, top + min(i + 1, rows - 1)  # an odd last row is computed twice
                    pair = (codes[row], codes[last]), (tables[row % books], tables[last % books])
                    _dots(*pair, units, width, x[block], part, sums[i : i + 2].reshape(-1))
            for i in range(rows):
                for k in range(ROWS):
                    y[block * ROWS + k, top + i] = across(load_floats(sums[i], k * LANES))


@serial
def _dots(codes, tables, units, width, x, part, room):
    """The width is a constant of each call, as in _dot."""
    if width == 1:
        _dots_of(codes, tables, units, 1, x, part, room)
    elif width == 2:
        _dots_of(codes, tables, units, 2, x, part, room)
    else:
        _dots_of(codes, tables, units, 4, x, part, room)


@serial
def _dots_of(codes, tables, units, width, x, part, room):
    """A part of two rows of the weight with ROWS rows of x, added to the LANES sums of each in `room`."""
    sums, more = load_block(room, 0, LANES), load_block(room, ROWS * LANES, LANES)
    step, entry, left = 4 // width, part[0] // units * 16, units - part[0] % units
    for first in range(part[0], part[1], step):
        word, other = load_words(codes[0], first // step * LANES), load_words(codes[1], first // step * LANES)
        for unit in range(first, min(first + step, part[1])):
            if left == 0:
                entry, left = entry + 16, units
            left -= 1
            for i in range(8):
                values = load_block(x, (unit * 8 + i) * ROWS * LANES, LANES)
                sums = add_scaled(sums, entries(tables[0], entry, word), values)
                more = add_scaled(more, entries(tables[1], entry, other), values)
                word, other = word >> width, other >> width
    store_block(room, 0, LANES, sums)
    store_block(room, ROWS * LANES, LANES, more)


@serial
def _look_up(codes, tables, units, width, w):
    """The width is a constant of each call, as in _dot."""
    if width == 1:
        _look_up_of(codes, tables, units, 1, w)
    elif width == 2:
        _look_up_of(codes, tables, units, 2, w)
    else:
        _look_up_of(codes, tables, units, 4, w)


@serial
def _look_up_of(codes, tables, units, width, w):
    length, room, step = w.shape[1], np.empty(UNIT, np.float32), 4 // width
    for row in range(len(w)):
        word, entry, left = load_words(codes[row], 0), 0, units
        for at in range(0, length, UNIT):
            unit = at // UNIT
            if unit % step == 0:
                word = load_words(codes[row], unit // step * LANES)
            if left == 0:
                entry, left = entry + 16, units
            left -= 1
            if at + UNIT <= length:
                word = _store(tables[row % len(tables)], entry, word, width, w[row], at)
            else:
                word = _store(tables[row % len(tables)], entry, word, width, room, 0)
                w[row, at:] = room[: length - at]


@inlined
def _store(table, entry, word, width, y, at):
    """The entries of a unit; gives what is left of its word."""
    for i in range(8):
        store(y, at + i * LANES, entries(table, entry, word))
        word = word >> width
    return word
