"""Rows of x as codes, side by side in blocks, as the kernels of `integers` read them.

Word after word of `one_row`, of each the rows of a block; and for each PART inputs of a group, of each row, minus the
sum of its codes in the lower half of a word, minus its zero point in the upper one. A row of two limbs is two rows,
and so is its zero point.
"""

import numpy as np
from numba import prange

from refq_fast.kernel import parallel, serial
from refq_fast.one_row import laid_out, limb, to_codes

PART = 128  # inputs whose sums of x and of u - c, of 8 bits each, fit 16 bits


def rooms(count, limbs, rows, shape, groups):
    """For `count` rows: codes, pairs, and the steps of each block.

    rows: a tuple as long as a block has rows. shape: bits, words and parts of a group.
    """
    bits, words, parts = shape
    blocks = -(-count * limbs // len(rows))
    codes = np.zeros((blocks, groups * words * (8 // bits) * len(rows)), np.int32)
    pairs = np.zeros((blocks, groups * parts * len(rows)), np.int32)
    return codes, pairs, np.zeros((blocks, len(rows) // limbs), np.float32)


@parallel
def of_reals(x, bits, symmetric, shape, rows, codes, pairs, steps):
    """Fill `rooms` with rows of x float32, made codes as `one_row` makes them."""
    tokens = steps.shape[1]
    limbs = len(rows) // tokens
    for block in prange(len(codes)):
        words = np.empty((limbs, codes.shape[1] // len(rows)), np.int32)
        sums = np.empty(words.shape[1] * shape[0] // (8 * shape[1]), np.int32)
        for i in range(min(tokens, len(x) - block * tokens)):
            steps[block, i], zero = to_codes(x[block * tokens + i], bits, symmetric, words, sums)
            _put(words, zero, shape, len(rows), i * limbs, codes[block], pairs[block])


@parallel
def of_codes(q, zero_point, shape, rows, codes, pairs):
    """Fill `rooms` with rows of codes of one limb."""
    for block in prange(len(codes)):
        words = np.empty((1, codes.shape[1] // len(rows)), np.int32)
        sums = np.empty(words.shape[1] * shape[0] // (8 * shape[1]), np.int32)
        for i in range(min(len(rows), len(q) - block * len(rows))):
            row = block * len(rows) + i
            laid_out(q[row], zero_point[row], words, sums)
            _put(words, zero_point[row], shape, len(rows), i, codes[block], pairs[block])


@serial
def _put(words, zero, shape, rows, place, codes, pairs):
    """The limbs of a row of x at `place` of its block."""
    bits, length, parts = shape
    length *= 8 // bits
    for i in range(len(words)):
        for word in range(words.shape[1]):
            codes[word * rows + place + i] = words[i, word]
        own = limb(zero, i, len(words))
        for at in range(pairs.size // rows):
            first = at // parts * length + at % parts * (PART // 4)
            total = np.int32(0)
            for code in words[i, first : min(first + PART // 4, (at // parts + 1) * length)].view(np.int8):
                total = np.int32(total - code)
            pairs[at * rows + place + i] = total & 0xFFFF | -own << 16
