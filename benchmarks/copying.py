"""The limit of work that reads and writes more than the caches hold: a copy that does not fetch what it overwrites."""

import statistics

import numpy as np

from benchmarks.measure import interleaved
from refq_fast.kernel import serial
from refq_fast.simd import LANES, load_floats
from refq_fast.streams import aligned, stream
from refq_fast.threads import cuts, each

SIZE = 2**24  # numbers


def copied(threads):
    """GB a second, read and written, in this many threads, which Numba is to use already."""
    x, y = (aligned((SIZE,), np.float32) for _ in range(2))
    x[:], y[:] = 1, 0
    tasks = cuts(SIZE, 16)
    seconds = interleaved({"copy": lambda: each(lambda cut: _copy(x[cut], y[cut]), tasks)}, 15, threads)
    return 2 * x.nbytes / 1e9 / statistics.median(seconds["copy"])


@serial
def _copy(x, y):
    for i in range(0, x.size, LANES):
        stream(y, i, load_floats(x, i), True)
