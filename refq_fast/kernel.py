"""How kernels are compiled. No global fastmath: a division by 0, a NaN and a rounding mean what NumPy means by them."""

import contextlib
import functools
import importlib
import os
import pathlib

import numba
from numba.core import event

from refq_fast import cores

if numba.config.DISABLE_JIT:
    raise ImportError("refq_fast is compiled, and NUMBA_DISABLE_JIT is set; refq is the same without compiling")
# OpenMP first: starting a parallel loop costs 6 microseconds with it, 80 with Numba's own layer
if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]
# and its threads wait awake for 0.1 milliseconds, about as far as loops are apart, then sleep: to wake them costs 50
# microseconds a loop. Where another program has one of two cores, waiting longer would stall each loop for as long
_PATIENCE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "2000"}
if not _PATIENCE.keys() & os.environ.keys():
    os.environ |= _PATIENCE
    with contextlib.suppress(ImportError):  # no OpenMP
        importlib.import_module("numba.np.ufunc.omppool")  # loads it, and it reads them; processes begun here need not
    for name in _PATIENCE:
        del os.environ[name]

# a kernel may call those of any file of this package: their state is part of its cache
_SHARED = [
    (file.stat().st_mtime, file.stat().st_size) for file in sorted(pathlib.Path(__file__).parent.rglob("[a-z]*.py"))
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
merged = _compiler(inline="always")  # before its only caller is compiled: LLVM works at each called function once more
inlined = _compiler(forceinline=True)  # for what takes or gives many vectors: they stay in registers
_parallel = _compiler(parallel=True)


def parallel(function):
    """A kernel whose loops over numba.prange run in several threads; Python alone may call it."""
    kernel = _parallel(function)

    @functools.wraps(function)
    def call(*arguments):
        cores.come_home()
        return kernel(*arguments)

    call.kernel = kernel
    return call


# for sums: LLVM may reorder them into vector lanes; the order is a function of the code, never of the thread count
summing = _compiler(fastmath={"reassoc", "contract", "nsz", "arcp"})


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
