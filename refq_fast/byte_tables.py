"""Products with indices of codebooks of 32 to 256 entries: sixteen registers hold one, 64 indices permute its bytes.

A row of the weight is a byte an index, of each 64 as byte_entries gives them in their order.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from refq.grids.pack import as_codes
from refq_fast import decoded
from refq_fast.grids.pack import pack_codes, unpack_codes
from refq_fast.interleaved import AHEAD
from refq_fast.kernel import inlined, parallel, serial
from refq_fast.simd import LANES, fma, load_floats, load_words, splat, store
from refq_fast.simd_integers import prefetch
from refq_fast.simd_tables import HAS_BYTE_TABLES, across, byte_entries, load_planes

UNIT = 64  # indices looked up together
TASK = 2**16  # indices of a task, at least
MANY = 6  # rows of x, of which more are not multiplied by each unit as soon as it is looked up


class ByteTables(NamedTuple):
    """A weight (out, in) of 5 to 8 bits, ready for products."""

    shape: tuple
    bits: int
    codes: np.ndarray  # uint32 (out, words)
    tables: np.ndarray  # uint32 (out or 1, groups * 256): their bytes as load_planes takes them

    def of_width(self, length):
        """The same for an x of this width, or None where another would make other groups."""
        fits = self.tables.shape[1] == 256 or length == self.shape[1]
        return self._replace(shape=(self.shape[0], length)) if fits else None

    def stored(self):
        """packed, codebook and bits, as codebook_matmul takes them."""
        index = _turned(self.codes.view(np.uint8))[:, : self.shape[1]]
        entries = np.ascontiguousarray(self.tables.view(np.uint8).reshape(len(self.tables), -1, 4, 256).swapaxes(2, 3))
        codebook = entries.view(np.float32)[:, :, : 2**self.bits, 0]
        return pack_codes(as_codes(index, self.bits), self.bits), np.ascontiguousarray(codebook), self.bits

    def product(self, x):
        """x (rows, in) float32 times the transpose: (rows, out)."""
        out, length = self.shape
        if len(x) > MANY:
            return decoded.product(x, out, self._look_up)
        rows, y = np.zeros((len(x), self.codes.shape[1] * 4), np.float32), np.empty((len(x), out), np.float32)
        rows[:, :length] = x
        _few_rows(self.codes, self.tables, self._size(), rows, y, max(1, TASK // length))
        return y

    def looked_up(self):
        """The weight itself, as float32 (out, in)."""
        return decoded.whole(self.shape, np.float32, self._look_up)

    def _look_up(self, rows, w):
        tables = self.tables[rows] if len(self.tables) > 1 else self.tables
        _look_up(self.codes[rows], tables, self._size(), w)

    def _size(self):
        """Inputs of a group."""
        return self.shape[1] * 256 // self.tables.shape[1]


def byte_tables(packed, codebook, bits, length):
    """Rows of `length` packed indices and a codebook (out or 1, groups, 2**bits) as ByteTables, or None: no kernel."""
    (books, groups, k), out = codebook.shape, len(packed)
    grouped = groups > 1 and length // groups % UNIT
    if not HAS_BYTE_TABLES or codebook.dtype != np.float32 or bits < 5 or grouped or not out:
        return None
    index = unpack_codes(packed, bits, length).astype(np.uint8) & np.uint8(k - 1)
    codes = _turned(np.pad(index, ((0, 0), (0, -length % UNIT)))).view(np.uint32)
    tables = np.zeros((books, groups, 256), np.float32)
    tables[..., :k] = codebook
    tables = np.ascontiguousarray(tables.view(np.uint8).reshape(books, groups, 256, 4).swapaxes(2, 3))
    return ByteTables((out, length), bits, codes, tables.reshape(books, -1).view(np.uint32))


def _turned(index):
    """Bytes in the order of byte_entries, or back from it."""
    units = index.reshape(len(index), -1, 4, 4, 4)
    return np.ascontiguousarray(units.swapaxes(2, 3)).reshape(len(index), -1)


@parallel
def _few_rows(codes, tables, size, x, y, chunk):
    out = len(codes)
    for task in prange((out + chunk - 1) // chunk):
        for row in range(task * chunk, min(task * chunk + chunk, out)):
            for i in range(len(x)):
                y[i, row] = _dot(codes[row], tables[row % len(tables)], size, x[i])


@serial
def _dot(codes, tables, size, x):
    """One row of the weight with one of x, which ends with zeros where its units do not."""
    a = b = c = d = splat(np.float32(0))
    for group in range(len(tables) // 256):
        table = load_planes(tables, group * 256)
        for at in range(group * size, (group + 1) * size, UNIT):
            prefetch(codes, at // 4 + AHEAD)
            found = byte_entries(table, load_words(codes, at // 4))
            a = fma(found[0], load_floats(x, at), a)
            b = fma(found[1], load_floats(x, at + LANES), b)
            c = fma(found[2], load_floats(x, at + 2 * LANES), c)
            d = fma(found[3], load_floats(x, at + 3 * LANES), d)
    return across((a + b) + (c + d))


@serial
def _look_up(codes, tables, size, w):
    """Rows of w, in groups of `size`."""
    length, room = w.shape[1], np.empty(UNIT, np.float32)
    for row in range(len(w)):
        for first in range(0, length, size):
            table, rest = load_planes(tables[row % len(tables)], first // size * 256), size % UNIT
            for at in range(first, first + size - rest, UNIT):
                _store(byte_entries(table, load_words(codes[row], at // 4)), w[row], at)
            if rest:
                _store(byte_entries(table, load_words(codes[row], (first + size - rest) // 4)), room, 0)
                w[row, first + size - rest : first + size] = room[:rest]


@inlined
def _store(found, y, at):
    for i in range(4):
        store(y, at + i * LANES, found[i])
