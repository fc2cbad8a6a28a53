"""MXFP4 as llama.cpp stores it: 32 numbers of FP4 (E2M1) and one power of two in 17 bytes."""

import numpy as np

from refq import checks
from refq.errors import NonFiniteError
from refq.grids.arguments_blocks import block_bytes
from refq.grids.q4_0 import codes_of_nibbles, flat

BYTES = 17
HIGHEST = 252  # the exponent with which every number is finite
_TWICE = np.float32([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12])


def decode_mxfp4(packed):
    """MXFP4 blocks to real numbers.

    x = 2**(e - 127) * E2M1[u], E2M1 = 0, 0.5, 1, 1.5, 2, 3, 4, 6, and the same below 0

    Parameters
        packed: uint8 (..., blocks * 17): e at most 252, nibbles u as in Q4_0.
    Returns
        x: float32 (..., blocks * 32).
    Raises
        ShapeError: the last axis does not hold whole blocks.
        NonFiniteError: e is larger: 255 is NaN, with 253 and 254 float32 overflows.

    >>> decode_mxfp4(np.uint8([127] + [23] * 16))[[0, 31]]
    array([6. , 0.5], dtype=float32)

    Source: OCP Microscaling Formats (MX) 1.0, 5.3 and 5.4; the order of the nibbles read in ggml, and run
        (llama-cpp-python 0.3.36).
    Spec: decode_mxfp4
    """
    packed = block_bytes(packed, BYTES)
    e = packed[..., :1]
    if (e > HIGHEST).any():
        raise NonFiniteError(f"{checks.first_wrong('e', e, e <= HIGHEST)}; at most {HIGHEST} gives finite numbers")
    return flat(np.ldexp(_TWICE[codes_of_nibbles(packed[..., 1:])], e.astype(np.int32) - 128))
