"""Twins of refq.ops.linear."""

import math

import numpy as np

from refq.ops import arguments
from refq.ops.linear import CodebookWeight as StoredIndices
from refq.ops.linear import PackedWeight as StoredCodes
from refq_fast import blas
from refq_fast.ops.codebook_matmul import codebook_matmul, codebook_matmul_vjp
from refq_fast.ops.quantized_matmul import quantized_matmul, quantized_matmul_vjp
from refq_fast.packed_weight import CodebookWeight, PackedWeight

STORED = {
    StoredCodes: (quantized_matmul, quantized_matmul_vjp),
    StoredIndices: (codebook_matmul, codebook_matmul_vjp),
}


def linear(x, weight, bias=None):
    """Twin of refq.linear.

    Arrays: pieces of the product in several threads, each a BLAS call of one thread. A PackedWeight of this package
    and a CodebookWeight: a kernel that reads codes or indices in their layout.
    Spec: linear
    """
    stored = STORED.get(type(weight))
    if stored or isinstance(weight, PackedWeight | CodebookWeight):
        y = stored[0](x, *weight) if stored else weight.product(x)
        return y if bias is None else y + arguments.vector("bias", bias, y, y.shape[-1])
    x, weight, bias = arguments.linear(x, weight, bias)
    y = blas.product(x, weight.T, "CF")
    return y if bias is None else y + bias


def linear_vjp(g, x, weight, bias=None):
    """Twin of refq.linear_vjp.

    Products as in linear; a packed weight is unpacked for the time of the call.
    Spec: linear_vjp
    """
    if type(weight) in STORED:
        gx, gweight = STORED[type(weight)][1](g, x, *weight), None
    elif isinstance(weight, PackedWeight | CodebookWeight):
        w = weight.dequantized(x)
        gx, gweight = blas.product(arguments.incoming(g, w, (*np.shape(x)[:-1], len(w))), w), None
    else:
        x, weight, bias = arguments.linear(x, weight, bias)
        g = arguments.incoming(g, x, (*x.shape[:-1], weight.shape[0]))
        gx, gweight = blas.product(g, weight), blas.product(_rows(g).T, _rows(x), "FC")
    if bias is not None:
        arguments.vector("bias", bias, gx, np.shape(g)[-1])
    return gx, gweight, None if bias is None else _rows(np.asarray(g)).sum(axis=0)


def _rows(x):
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])  # -1 would not do for a width of 0
