"""The arrays of a weight in tiles of LANES rows, column by column: what stands at j in each row, then at j + 1."""

import numpy as np
from numba import prange

from refq_fast.kernel import parallel
from refq_fast.simd import LANES
from refq_fast.streams import aligned


def side_by_side(packed, bits):
    """Canonical bytes of 4 or 8 bits a code as the codes of tiles, each plus 2**(bits - 1).

    Of each eight codes of 8 bits the even ones are a word, then the odd ones, as half bytes give them.
    """
    codes = aligned((-(-len(packed) // LANES), -(-packed.shape[1] // bits) * bits // 4 * LANES), np.uint32)
    _interleave(np.ascontiguousarray(packed), bits // 4, np.uint32(0x88888888 if bits == 4 else 0x80808080), codes)
    return codes


def tiled(values):
    """(out, groups) to (tiles, groups * LANES); rows beyond the last are 0."""
    values = np.pad(values, ((0, -len(values) % LANES), (0, 0)))
    turned = values.reshape(-1, LANES, values.shape[1]).swapaxes(1, 2)
    tiles = aligned(turned.shape, values.dtype)
    tiles[:] = turned
    return tiles.reshape(len(tiles), -1)


def untiled(tiles, out):
    """What `tiled` made, back to (out, groups), or (1, groups) where all tiles have the same."""
    turned = np.ascontiguousarray(tiles.reshape(len(tiles), -1, LANES).swapaxes(1, 2))
    return turned.reshape(len(tiles) * LANES, -1)[:out] if len(tiles) * LANES >= out else turned[0, :1]


@parallel
def _interleave(packed, apart, flip, codes):
    out, length = packed.shape
    for tile in prange(codes.shape[0]):
        for at in range(codes.shape[1]):
            row, word = tile * LANES + at % LANES, np.uint32(0)
            first = at // LANES // apart * 4 * apart + at // LANES % apart
            if row < out:
                for i in range(4):
                    place = first + i * apart
                    if place < length:
                        word |= np.uint32(packed[row, place]) << np.uint32(8 * i)
            codes[tile, at] = word ^ flip  # two's complement to code + 2**(bits - 1)
