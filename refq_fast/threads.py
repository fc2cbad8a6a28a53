"""Work cut into pieces by its shape alone, computed by a pool of threads: the bits do not depend on their number."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numba

PIECE = 2**17  # numbers a task at least: handing one to the pool costs 10 microseconds


def cuts(length, count):
    """`count` slices that share 0..length-1 out."""
    return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]


def each(function, tasks):
    """function(task) for all tasks, in numba.get_num_threads() threads; one task stays in the thread that asks."""
    threads = numba.get_num_threads()
    if threads > 1 and len(tasks) > 1:
        list(_pool(threads).map(function, tasks))
    else:
        for task in tasks:
            function(task)


def over_rows(kernel, *arrays):
    """kernel(*arrays), a piece of the first axis at a time; the kernel lets go of the interpreter."""
    count = max(1, min(len(arrays[0]), arrays[0].size // PIECE))
    each(lambda cut: kernel(*(array[cut] for array in arrays)), cuts(len(arrays[0]), count))


@functools.cache
def _pool(threads):
    return ThreadPoolExecutor(threads, thread_name_prefix="refq")
