"""Work cut into pieces by its shape alone, computed by a pool of threads: the bits do not depend on their number."""

import collections
import contextlib
import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numba
from numba import types

from refq_fast import cores
from refq_fast.kernel import parallel

PIECE = 2**17  # numbers a task at least: handing one to the pool costs 10 microseconds
TASKS = 32  # of a loop over rows at most
_set_affinity = types.ExternalFunction("sched_setaffinity", types.int32(types.int32, types.uintp, types.intp))


def use(count):
    """How many threads the parallel kernels called from this thread use from now on; at most NUMBA_NUM_THREADS."""
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
    """function(task) for all tasks, in numba.get_num_threads() threads, the caller's among them.

    The caller waits for tasks that others are at, never for a thread that has not come: to wake one takes long.
    """
    left = collections.deque(tasks)
    helpers = min(numba.get_num_threads(), len(left)) - 1
    if helpers < 1:
        _work(function, left)
        return
    cores.come_home()
    others = []
    try:
        with contextlib.suppress(RuntimeError):  # the interpreter ends: the caller works alone
            for _ in range(helpers):
                others.append(_pool(helpers, cores.others()).submit(_work, function, left))
        _work(function, left)
    finally:
        left.clear()
        errors = [other.exception() for other in others if not other.cancel()]
    for error in filter(None, errors):
        raise error


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


def _work(function, left):
    try:
        while left:
            try:
                task = left.popleft()
            except IndexError:  # another was faster
                return
            function(task)
    finally:
        left.clear()  # nothing, or what an error leaves


@functools.cache
def _pool(threads, places):
    """A pool of threads, each held to one of some cores, if there are any."""
    free = list(places)

    def hold():
        core = {free.pop()} if free else set()
        with contextlib.suppress(OSError):  # some sandboxes forbid it
            if core & os.sched_getaffinity(0):  # it may have been given up since
                os.sched_setaffinity(0, core)

    return ThreadPoolExecutor(threads, thread_name_prefix="refq", initializer=hold)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of the threads
