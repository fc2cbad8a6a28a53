"""Before NumPy is imported: let its OpenBLAS use AVX-512 where it would not.

OpenBLAS 0.3.31 takes its Haswell kernels on AMD processors that have AVX-512; its SkylakeX ones are twice as fast
there. It reads OPENBLAS_CORETYPE once, when NumPy is imported; what the user has set stays.
"""

import contextlib
import os
import sys

NEEDED = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


def choose_kernels(cpuinfo="/proc/cpuinfo", environment=os.environ):
    """Set OPENBLAS_CORETYPE where that helps: on Linux, on an AMD processor with AVX-512, before NumPy is imported."""
    if "numpy" in sys.modules or "OPENBLAS_CORETYPE" in environment:
        return
    with contextlib.suppress(OSError), open(cpuinfo, encoding="ascii", errors="replace") as file:
        first = file.read(2**13)  # of one core
        if "AuthenticAMD" in first and NEEDED.issubset(first.split()):
            environment["OPENBLAS_CORETYPE"] = "SkylakeX"


choose_kernels()
