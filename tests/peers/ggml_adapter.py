"""libggml (the C code of llama.cpp, through ctypes) under our names: every block type.

It comes with llama-cpp-python, or REFQ_LIBGGML names it.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import pathlib

import numpy as np

TYPES = {"q4_0": (32, 18), "q4_1": (32, 20), "q5_0": (32, 22), "q5_1": (32, 24), "q8_0": (32, 34)}
TYPES |= {"q2_k": (256, 84), "q3_k": (256, 110), "q4_k": (256, 144), "q5_k": (256, 176), "q6_k": (256, 210)}
TYPES |= {"iq4_nl": (32, 18), "iq4_xs": (256, 136), "mxfp4": (32, 17)}
ENCODED = ["q4_0", "q4_1", "q5_0", "q8_0", "q4_k", "q6_k"]
NAME = "ggml"
__all__ = [f"decode_{name}" for name in TYPES] + [f"encode_{name}" for name in ENCODED]


def _library():
    path, package = os.environ.get("REFQ_LIBGGML"), importlib.util.find_spec("llama_cpp")
    if path:
        return ctypes.CDLL(path), "REFQ_LIBGGML"
    if not package:
        raise ImportError("neither llama-cpp-python nor REFQ_LIBGGML is here")
    path = pathlib.Path(package.origin).parent / "lib" / "libggml-base.so"
    return ctypes.CDLL(str(path)), importlib.metadata.version("llama-cpp-python")


_LIBRARY, __version__ = _library()


def _encoder(name):
    size, count = TYPES[name]

    def encode(x):
        if x.shape[-1] % size or x.dtype != np.float32 or not np.isfinite(x).all():
            raise ValueError(f"{x.dtype} of shape {x.shape}; finite float32 in whole blocks of {size}")
        if 0 < np.abs(x).max(initial=0) < 1e-37:
            raise NotImplementedError("1 / scale overflows, and C says nothing of such a number as an integer")
        return _run(f"quantize_row_{_c(name)}_ref", x, np.uint8, x.size // size * count)

    return encode


def _decoder(name):
    size, count = TYPES[name]

    def decode(packed):
        if packed.shape[-1] % count:
            raise ValueError(f"{packed.shape[-1]} bytes; whole blocks of {count}")
        return _run(f"dequantize_row_{_c(name)}", packed, np.float32, packed.size // count * size)

    return decode


def _run(function, given, dtype, length):
    given, result = np.ascontiguousarray(given), np.zeros(length, dtype)
    count = given.size if dtype == np.uint8 else length
    pointers = (ctypes.c_void_p(array.ctypes.data) for array in (given, result))
    getattr(_LIBRARY, function)(*pointers, ctypes.c_int64(count))
    return result.reshape(*given.shape[:-1], -1)


def _c(name):
    return name.replace("_k", "_K")


globals().update({f"encode_{name}": _encoder(name) for name in ENCODED})
globals().update({f"decode_{name}": _decoder(name) for name in TYPES})
