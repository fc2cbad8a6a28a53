"""Products with a weight that is decoded a few rows at a time, each tile multiplied while in the cache."""

import numpy as np

from refq_fast import blas, matmul
from refq_fast.kernel import serial
from refq_fast.simd import load_words, store
from refq_fast.simd_tables import HAS_BYTE_TABLES, byte_fields

TILE = 2**16  # numbers of a tile: it stays in a core's second-level cache
WIDE, MANY = 2**19, 16  # of a tile where x has so many rows that packing them for BLAS again and again costs more

_PLACE, _BITS = np.arange(64), np.arange(9)[:, None]
ORDER, SHIFT, HALF = (  # of byte_fields, by the width of a code
    table.astype(np.uint8).view(np.uint32)
    for table in (
        (_PLACE // 8 * _BITS + _PLACE % 8) % 64,
        _PLACE % 8 * _BITS,
        np.broadcast_to(2**_BITS // 2, (9, 64)),
    )
)


def product(x, out, decode):
    """x (..., in) times the transpose of a weight (out, in); decode(rows, w) writes the rows of a slice into w."""
    rows = blas.laid_out(x).reshape(-1, x.shape[-1])
    y = np.empty((len(rows), out), x.dtype)
    own = matmul.fits(rows)

    def compute(tile):
        w = np.empty((tile.stop - tile.start, x.shape[-1]), x.dtype)
        decode(tile, w)
        if own:
            matmul.multiply(rows, w.T, y, tile.start)
        else:
            np.matmul(rows, w.T, out=y[:, tile])

    blas.each(compute, _tiles(out, x.shape[-1], WIDE if own or len(rows) >= MANY else TILE))
    return y.reshape(*x.shape[:-1], out)


def whole(shape, dtype, decode):
    """The weight (out, in) itself."""
    w = np.empty(shape, dtype)
    blas.each(lambda tile: decode(tile, w[tile]), _tiles(*shape, TILE))
    return w


def _tiles(out, length, numbers):
    rows = max(1, numbers // length)
    return [slice(first, min(first + rows, out)) for first in range(0, out, rows)]


@serial
def unpack(packed, bits, codes):
    """Codes of one row, int8, with room for eights."""
    done = 0
    if HAS_BYTE_TABLES:
        done = _registers(packed, bits, codes)
    _unpack(packed[done // 8 * bits :], bits, codes[done:])


@serial
def _registers(packed, bits, codes):
    """64 codes at once, as long as 64 bytes can be read there; gives how many codes."""
    if bits == 8 or len(packed) < 64:
        return 0
    count = (len(packed) - 64) // (8 * bits) + 1
    order, shift, half = load_words(ORDER[bits], 0), load_words(SHIFT[bits], 0), load_words(HALF[bits], 0)
    for i in range(count):
        store(codes, i * 64, byte_fields(packed, i * 8 * bits, order, shift, half))
    return count * 64


@serial
def _unpack(packed, bits, codes):
    """The width is a constant of each call, so that each has its loop."""
    if bits == 1:
        _eights(packed, 1, codes)
    elif bits == 2:
        _eights(packed, 2, codes)
    elif bits == 3:
        _eights(packed, 3, codes)
    elif bits == 4:
        _eights(packed, 4, codes)
    elif bits == 5:
        _eights(packed, 5, codes)
    elif bits == 6:
        _eights(packed, 6, codes)
    elif bits == 7:
        _eights(packed, 7, codes)
    else:
        _eights(packed, 8, codes)


@serial
def _eights(packed, bits, codes):
    whole = len(packed) // bits
    for block in range(whole):  # eight codes fill `bits` whole bytes
        _eight(packed[block * bits :], bits, bits, codes[block * 8 :])
    if whole * 8 < len(codes):
        _eight(packed[whole * bits :], len(packed) - whole * bits, bits, codes[whole * 8 :])


@serial
def _eight(packed, count, bits, codes):
    half, word = 1 << (bits - 1), np.int64(0)
    for i in range(count):
        word |= np.int64(packed[i]) << (8 * i)
    for i in range(8):
        codes[i] = (((word >> (bits * i)) & (2 * half - 1)) ^ half) - half
