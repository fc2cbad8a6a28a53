"""How fast memory is read here: the limit of all that meets each weight once."""

import numpy as np
from numba import prange

from refq_fast.interleaved import AHEAD
from refq_fast.kernel import parallel
from refq_fast.simd import LANES, load_words, store
from refq_fast.simd_integers import prefetch, zero_words

ENOUGH = 2**28  # bytes a call reads at least, so that starting threads does not count


def reading(size, threads):
    """A plain sum over so many bytes, fetched ahead, again and again (from a cache that holds them), and the bytes.

    It is to be measured among the works whose limit it is: memory that others use, too, is not always as fast.
    """
    words = size // (16 * LANES * threads) * 4 * LANES * threads
    array, sums, times = np.ones(words, np.uint32), np.zeros((threads, LANES), np.uint32), 1 + ENOUGH // size
    return lambda: _read(array, times, sums), array.nbytes * times


@parallel
def _read(x, times, sums):
    """Sums over x, a part of it for each thread."""
    share = len(x) // len(sums)
    for part in prange(len(sums)):
        a, b, c, d = zero_words(), zero_words(), zero_words(), zero_words()
        for _ in range(times):
            for at in range(part * share, (part + 1) * share, 4 * LANES):
                for line in range(at, at + 4 * LANES, 16):  # a cache line
                    prefetch(x, line + AHEAD)
                a, b = a + load_words(x, at), b + load_words(x, at + LANES)
                c, d = c + load_words(x, at + 2 * LANES), d + load_words(x, at + 3 * LANES)
        store(sums[part], 0, (a + b) + (c + d))
