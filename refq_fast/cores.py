"""Threads that compute on a core each.

Linux wakes a thread on the core of its waker where no other looks idle, and in many virtual machines none ever does:
there both stay, and work by turns. So, where all cores are in use, each thread that OpenMP or refq_fast.threads adds
to the caller's is held to a core, and the caller's comes back to the core left for it before each loop. It is not held
there: threads that Python starts inherit where it may run.
"""

import ctypes
import os
import threading

import numpy as np

_CHOSEN = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"}  # the user's own choice of cores
_core = getattr(ctypes.PyDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None
_caller = threading.local()


def spread(count, hold):
    """A core for each of `count` threads, the caller's among them, if these are all cores; else any core for all.

    Parameters
        hold: hold(masks) lets OpenMP's thread t > 0 run on core c where bit c of masks[t], uint64 (count, words), is 1.
    """
    if _core is None or _CHOSEN & os.environ.keys():
        return
    cores, here = sorted(os.sched_getaffinity(0)), _core()
    full = 1 < count == len(cores)
    _caller.home, _caller.others = here if full else None, tuple(core for core in cores if full and core != here)
    if count > 1:
        masks = np.zeros((count, cores[-1] // 64 + 1), np.uint64)
        for thread in range(1, count):
            for core in [others()[thread - 1]] if full else cores:
                masks[thread, core // 64] |= np.uint64(1 << core % 64)
        hold(masks)


def others():
    """The cores that other threads are held to, if any."""
    return getattr(_caller, "others", ())


def come_home():
    """Bring the caller's thread to the core that others leave to it."""
    core = getattr(_caller, "home", None)
    if core is None or _core() == core:
        return
    cores = os.sched_getaffinity(0)
    if core not in cores:
        return
    try:
        try:
            os.sched_setaffinity(0, {core})
        finally:  # Ctrl-C may be heard between the two
            os.sched_setaffinity(0, cores)
    except OSError:  # some sandboxes forbid it
        _caller.home = None
