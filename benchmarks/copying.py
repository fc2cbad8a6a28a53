"""The limit of work that reads and writes more than the caches hold: a copy that does not fetch what it overwrites."""

import numpy as np

from refq_fast.kernel import serial
from refq_fast.simd import LANES, load_floats
from refq_fast.streams import aligned, stream
from refq_fast.threads import cuts, each

SIZE = 2**24  # numbers


def copying():
    """A copy in the threads in use, and the GB that it reads and writes; to be measured among what it limits."""
    x, y = (aligned((SIZE,), np.float32) for _ in range(2))
    x[:], y[:] = 1, 0
    tasks = cuts(SIZE, 16)
    return lambda: each(lambda cut: _copy(x[cut], y[cut]), tasks), 2 * x.nbytes / 1e9


@serial
def _copy(x, y):
    for i in range(0, x.size, LANES):
        stream(y, i, load_floats(x, i), True)
