"""How kernels are compiled. No global fastmath: a division by 0, a NaN and a rounding mean what NumPy means by them."""

import numba

# OpenMP first: starting a parallel loop costs 6 microseconds with it, 80 with Numba's own layer
numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

_OPTIONS = {"error_model": "numpy", "cache": True, "nogil": True}

serial = numba.njit(**_OPTIONS)
parallel = numba.njit(parallel=True, **_OPTIONS)
# for sums: LLVM may reorder them into vector lanes; the order is a function of the code, never of the thread count
summing = numba.njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, **_OPTIONS)
