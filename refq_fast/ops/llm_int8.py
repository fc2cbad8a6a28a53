"""Twin of refq.ops.llm_int8."""

import math

import numpy as np

from refq.ops import arguments
from refq.ops.llm_int8 import outlier_weight, vector_codes
from refq_fast import blas

EXACT = 1024  # inputs: products of codes sum to less than 2**24, which float32 holds exactly


def llm_int8_matmul(x, q, scale, threshold, weight=None):
    """Twin of refq.llm_int8_matmul.

    Codes are multiplied by BLAS as float32, as many at a time as stay exact.
    Spec: llm_int8_matmul
    """
    x, q, scale, threshold, weight = arguments.llm_int8_matmul(x, q, scale, threshold, weight)
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    codes, steps, outlier = vector_codes(rows, threshold)
    sums = np.zeros((len(rows), len(q)))
    for start in range(0, rows.shape[1], EXACT):
        part = slice(start, start + EXACT)
        sums += blas.product(codes[:, part].astype(np.float32), q[:, part].astype(np.float32).T, "CF")
    y = sums.astype(x.dtype) * (steps * scale.T)
    if outlier.any():
        y += blas.product(rows[:, outlier], outlier_weight(q, scale, weight, outlier).T, "CF")
    return y.reshape(*x.shape[:-1], len(q))
