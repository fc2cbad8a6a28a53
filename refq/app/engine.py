"""Which engine computes: the reference or its fast twin. The only file that names refq_fast."""

import contextlib
import ctypes
import functools
import os

import click
import threadpoolctl

from refq.errors import UsageError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def load(name, threads=None, training=False):
    """The engine called `name`, and its threads.

    Parameters
        name: "fast" or "reference".
        threads: int, 1 .. the cores we may use; None for all of them.
        training: whether steps follow that need the same memory again and again.
    Returns
        engine: the module refq_fast or refq.
    Raises
        UsageError: more threads than cores, or a setting of Numba that no engine can have.
    """
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = most if threads is None else threads
    if not 1 <= threads <= most:
        raise UsageError(f"--threads {threads}; this process may use 1..{most}")
    keep_freed_memory(*((2**30, 2**31 - 1) if training else (2**25, 2**27)))
    if name == "reference":
        import refq as engine
    else:
        try:
            import refq_fast as engine
        except ImportError as error:
            raise UsageError(f"--engine fast does not load: {error}") from error
        except ValueError as error:  # of Numba
            raise UsageError(f"NUMBA_NUM_THREADS: {error}") from error
        _announce(engine.kernel)
        engine.threads.use(threads)
    # OpenBLAS gives other bits for other thread counts; the fast engine cuts its products itself
    threadpoolctl.threadpool_limits(1, user_api="blas")
    return engine


@functools.cache  # several loads in a process say it once
def _announce(kernel):
    kernel.before_compiling(lambda: click.echo("refq: compiling kernels that no run before needed ...", err=True))


def about():
    """What refq_fast says of the machine it runs on; compiles nothing."""
    from refq_fast import about as fast

    return fast.about()


def keep_freed_memory(array, rest):
    """Freed arrays of up to `array` bytes stay with this process, and up to `rest` bytes beyond the last in use."""
    # glibc gives arrays of a few MB back to the kernel at once, and gets zeroed pages again for the next chunk of
    # rows: that doubled the time of quantize, and of a training step with a large vocabulary.
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library has no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, array)
        mallopt(_TRIM_THRESHOLD, rest)
