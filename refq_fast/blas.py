"""Float products whose bits do not depend on the number of threads.

BLAS gives other bits for other thread counts, so a product is cut into pieces, a function of its shape alone; each is
one call of a single-threaded BLAS, and a pool computes several at a time.
"""

import contextlib
import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import threadpoolctl

PIECE = 2**22  # multiplications: about 50 microseconds, a task of the pool costs 10
WIDTH = 64  # narrower pieces would spend their time on moving the other factor

_one_at_a_time = threading.Lock()  # the number of BLAS threads belongs to the process


def product(a, b):
    """a (..., k) times b (k, n), of one dtype: (..., n)."""
    rows, n = a.reshape(-1, a.shape[-1]), b.shape[1]
    y = np.empty((len(rows), n), a.dtype)
    count = max(1, min(rows.size * n // PIECE, max(y.shape) // WIDTH))

    def compute(cut):
        if n >= len(rows):
            np.matmul(rows, b[:, cut], out=y[:, cut])
        else:
            np.matmul(rows[cut], b, out=y[cut])

    length = max(y.shape)
    each(compute, [slice(length * i // count, length * (i + 1) // count) for i in range(count)])
    return y.reshape(*a.shape[:-1], n)


def each(function, tasks):
    """function(task) for all tasks, in numba.get_num_threads() threads, with a BLAS of one thread."""
    threads = numba.get_num_threads()
    with _one_at_a_time, _single_threaded():
        if threads > 1 and len(tasks) > 1:
            list(_pool(threads).map(function, tasks))
        else:
            for task in tasks:
                function(task)


def _single_threaded():
    controller = _controller()
    if all(library.num_threads == 1 for library in controller.lib_controllers):
        return contextlib.nullcontext()
    return controller.limit(limits=1)


@functools.cache
def _controller():
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


@functools.cache
def _pool(workers):
    return ThreadPoolExecutor(workers, thread_name_prefix="refq")
