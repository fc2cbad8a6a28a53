"""Work cut into pieces by its shape alone, computed by a pool of threads: the bits do not depend on their number."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numba
from numba import types

from refq_fast import cores
from refq_fast.kernel import parallel

PIECE = 2**17  # numbers a task at least: handing one to the pool costs 10 microseconds
TASKS = 32  # of a loop over rows at most
_set_affinity = types.ExternalFunction("sched_setaffinity", types.int32(types.int32, types.uintp, types.intp))


def use(count):
    """How many threads the parallel kernels called from this thread use from now on; at most the cores."""
    count = min(count, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(count)
    if _layer() == "omp":
        cores.spread(count, _hold)


def workers():
    """How many Python threads may call kernels at once: those in use; 1 where Numba's own layer would abort."""
    return numba.get_num_threads() if _layer() in ("omp", "tbb") else 1


def cuts(length, count):
    """`count` slices, or one, that share 0..length-1 out."""
    if count <= 1:
        return [slice(0, length)]
    return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]


def each(function, tasks):
    """function(task) for all tasks, in numba.get_num_threads() threads; a single task stays in the thread that asks."""
    if len(tasks) == 1:
        function(tasks[0])
        return
    threads = numba.get_num_threads()
    if threads > 1 and len(tasks) > 1:
        list(_pool(threads).map(function, tasks))
    else:
        for task in tasks:
            function(task)


def over_rows(kernel, *arrays):
    """kernel(*arrays), a piece of the first axis at a time; the kernel lets go of the interpreter."""
    count = min(len(arrays[0]), arrays[0].size // PIECE, TASKS)
    if count <= 1:
        kernel(*arrays)
    else:
        each(lambda cut: kernel(*(array[cut] for array in arrays)), cuts(len(arrays[0]), count))


def _layer():
    numba.get_num_threads()  # chooses one
    return numba.threading_layer()


@parallel
def _hold(masks):
    for _ in numba.prange(len(masks)):
        thread = numba.get_thread_id()
        if thread > 0:  # the caller's own is 0
            _set_affinity(0, masks.shape[1] * masks.itemsize, masks[thread].ctypes.data)


@functools.cache
def _pool(threads):
    return ThreadPoolExecutor(threads, thread_name_prefix="refq")
