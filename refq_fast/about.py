"""What the kernels of this package run on. Asking compiles nothing."""

import os
import sys

import llvmlite.binding
import numba

SHOWN = ("avx", "fma", "f16c", "sse4.2", "neon", "dotprod", "i8mm", "sve", "bf16", "fp16")


def about():
    """Versions, processor, threads and cache of the kernels, as a dict ready for JSON."""
    features = sorted(name for name, has in llvmlite.binding.get_host_cpu_features().items() if has)
    threads = numba.get_num_threads()  # starts the threads, so the layer is known
    paths = {kernel.stats.cache_path for kernel in _kernels()} - {None}
    folders = sorted(map(os.path.abspath, paths))
    return {
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "cpu_features": [name for name in features if name.startswith(SHOWN)],
        "kernel_path": f"{numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name()}, {_register(features)}",
        "threads": threads,
        "threading_layer": numba.threading_layer(),
        "cache_directory": os.path.commonpath(folders) if folders else None,
        "cache_bytes": sum(map(_cached, folders)),
    }


def _register(features):
    bits = 512 if "avx512f" in features else 256 if "avx2" in features else 128
    return f"{bits}-bit registers"


def _kernels():
    for name, module in list(sys.modules.items()):
        if name.startswith("refq_fast."):
            found = [getattr(value, "kernel", value) for value in vars(module).values()]
            yield from (value for value in found if isinstance(value, numba.core.dispatcher.Dispatcher))


def _cached(folder):
    if not os.path.isdir(folder):
        return 0
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.name.endswith((".nbi", ".nbc")))
