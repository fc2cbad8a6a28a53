"""How kernels are compiled. No global fastmath: a division by 0, a NaN and a rounding mean what NumPy means by them."""

import importlib
import os
import pathlib

import numba
from numba.core import event

# OpenMP first: starting a parallel loop costs 6 microseconds with it, 80 with Numba's own layer
numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]
# and its threads wait awake for 0.1 milliseconds, about as far as loops are apart, then sleep: to wake them costs 50
# microseconds a loop. Where another program has one of two cores, waiting longer would stall each loop for as long
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

# a kernel may call kernels of its own file and of the files directly in this folder: their state is part of its cache
_SHARED = [
    (file.stat().st_mtime, file.stat().st_size) for file in sorted(pathlib.Path(__file__).parent.glob("[a-z]*.py"))
]


def _compiler(**options):
    """A decorator that compiles at the first call, and keeps the result on disk where there is a place for it."""

    def decorate(function):
        try:
            kernel = numba.njit(error_model="numpy", nogil=True, cache=True, **options)(function)
        except RuntimeError:  # no folder that can be written
            return numba.njit(error_model="numpy", nogil=True, **options)(function)
        files = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
        if files is not None:  # Numba itself looks at the kernel's own file alone
            files._source_stamp = (files._source_stamp, _SHARED)
        return kernel

    return decorate


serial = _compiler()
inlined = _compiler(forceinline=True)  # for what takes or gives many vectors: they stay in registers
parallel = _compiler(parallel=True)
# for sums: LLVM may reorder them into vector lanes; the order is a function of the code, never of the thread count
summing = _compiler(fastmath={"reassoc", "contract", "nsz", "arcp"})


def use_threads(count):
    """How many threads the parallel kernels use from now on; at most the cores."""
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))


def workers():
    """How many Python threads may call kernels at once: those in use; 1 where Numba's own layer would abort."""
    layer = numba.config.THREADING_LAYER
    safe = layer in ("omp", "tbb", "safe", "threadsafe") or (layer == "default" and _has_openmp())
    return numba.get_num_threads() if safe else 1


def before_compiling(tell):
    """Call `tell()` once, just before the first kernel that is in no cache is compiled."""
    event.register("numba:compile", _Teller(tell))


def _has_openmp():
    try:
        return bool(importlib.import_module("numba.np.ufunc.omppool"))
    except ImportError:  # its OpenMP library is missing
        return False


class _Teller(event.Listener):
    def __init__(self, tell):
        self.tell = tell

    def on_start(self, _):
        event.unregister("numba:compile", self)
        self.tell()

    def on_end(self, _):
        pass
