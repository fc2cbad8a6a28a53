"""Float products whose bits are a function of the values: not of the number of threads, nor of where arrays lie.

BLAS gives other bits for other thread counts, so a product is cut into pieces, each one call of a single-threaded BLAS.
It has a kernel for each memory order, and NumPy copies what it cannot take as it is, so the order is decided here.
"""

import contextlib
import functools
import math
import threading

import numpy as np
import threadpoolctl

from refq_fast import matmul, threads
from refq_fast.kernel import serial

PIECE = 2**22  # multiplications: about 50 microseconds
WIDTH = 64  # narrower pieces would spend their time on moving the other factor
BLOCK = 16  # numbers of a cache line

_one_at_a_time = threading.Lock()  # the number of BLAS threads belongs to the process


def product(a, b, orders="CC"):
    """a (..., k) times b (k, n), of one dtype: (..., n).

    orders: how BLAS gets a and b, each by rows (C) or by columns (F); what lies otherwise is copied.
    """
    rows, n = a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b.shape[1]
    if matmul.pays(rows, b):
        return matmul.product(rows, b).reshape(*a.shape[:-1], n)
    rows, b = laid_out(rows, orders[0]), laid_out(b, orders[1])
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


def laid_out(x, order="C"):
    """x where BLAS takes it as it is: in one piece, on an aligned address, its strides those of its shape."""
    if order == "F":
        return laid_out(x.T).T
    if x.ndim == 2 and x.flags.aligned and x.flags.f_contiguous and not x.flags.c_contiguous:
        y = np.empty(x.shape, x.dtype)
        threads.over_rows(_copy, y, x)
        return y
    return np.require(x, requirements="CA").ravel().reshape(x.shape)


def each(function, tasks):
    """threads.each with a BLAS of one thread."""
    with _one_at_a_time, _single_threaded():
        threads.each(function, tasks)


@serial
def _copy(y, x):
    """y = x, by blocks: of what lies by columns, rows alone would fetch each cache line many times."""
    rows, columns = x.shape
    for top in range(0, rows, BLOCK):
        for left in range(0, columns, BLOCK):
            for i in range(top, min(top + BLOCK, rows)):
                for j in range(left, min(left + BLOCK, columns)):
                    y[i, j] = x[i, j]


def _single_threaded():
    controller = _controller()
    if all(library.num_threads == 1 for library in controller.lib_controllers):
        return contextlib.nullcontext()
    return controller.limit(limits=1)


@functools.cache
def _controller():
    return threadpoolctl.ThreadpoolController().select(user_api="blas")
