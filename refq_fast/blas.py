"""Float products whose bits do not depend on the number of threads.

BLAS gives other bits for other thread counts, so a product is cut into pieces, each one call of a single-threaded BLAS.
"""

import contextlib
import functools
import math
import threading

import numpy as np
import threadpoolctl

from refq_fast import matmul, threads

PIECE = 2**22  # multiplications: about 50 microseconds
WIDTH = 64  # narrower pieces would spend their time on moving the other factor

_one_at_a_time = threading.Lock()  # the number of BLAS threads belongs to the process


def product(a, b):
    """a (..., k) times b (k, n), of one dtype: (..., n)."""
    rows, n = a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b.shape[1]
    if matmul.pays(rows, b):
        return matmul.product(rows, b).reshape(*a.shape[:-1], n)
    length = max(len(rows), n)
    count = min(rows.size * n // PIECE, length // WIDTH)
    y = np.empty((len(rows), n), a.dtype)

    def compute(cut):
        if n >= len(rows):
            np.matmul(rows, b[:, cut], out=y[:, cut])
        else:
            np.matmul(rows[cut], b, out=y[cut])

    each(compute, threads.cuts(length, count))
    return y.reshape(*a.shape[:-1], n)


def each(function, tasks):
    """threads.each with a BLAS of one thread."""
    with _one_at_a_time, _single_threaded():
        threads.each(function, tasks)


def _single_threaded():
    controller = _controller()
    if all(library.num_threads == 1 for library in controller.lib_controllers):
        return contextlib.nullcontext()
    return controller.limit(limits=1)


@functools.cache
def _controller():
    return threadpoolctl.ThreadpoolController().select(user_api="blas")
