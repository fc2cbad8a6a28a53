"""How kernels are compiled. No global fastmath: a division by 0, a NaN and a rounding mean what NumPy means by them."""

import numba
from numba.core import event

# OpenMP first: starting a parallel loop costs 6 microseconds with it, 80 with Numba's own layer
numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

_OPTIONS = {"error_model": "numpy", "cache": True, "nogil": True}

serial = numba.njit(**_OPTIONS)
parallel = numba.njit(parallel=True, **_OPTIONS)
# for sums: LLVM may reorder them into vector lanes; the order is a function of the code, never of the thread count
summing = numba.njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, **_OPTIONS)


def use_threads(count):
    """How many threads the parallel kernels use from now on; at most the cores."""
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))


def before_compiling(tell):
    """Call `tell()` once, just before the first kernel that is in no cache is compiled."""
    event.register("numba:compile", _Teller(tell))


class _Teller(event.Listener):
    def __init__(self, tell):
        self.tell = tell

    def on_start(self, _):
        event.unregister("numba:compile", self)
        self.tell()

    def on_end(self, _):
        pass
