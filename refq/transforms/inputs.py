"""Weights that bring a transform of their input, and a namespace whose linear does it first."""

from typing import NamedTuple

import numpy as np

from refq.ops.namespace import Replaced
from refq.transforms.reassembly import Reassembly


class ReassembledInput(NamedTuple):
    """A weight, all that linear takes as one, whose input is reassembled: reassemble_input(x, reassembly)."""

    weight: object
    reassembly: Reassembly


class RotatedInput(NamedTuple):
    """A weight, all that linear takes as one, whose input is rotated by a Hadamard matrix.

    stride 1: over all channels;  stride d: over the heads (heads, d), each of the d numbers by itself.
    """

    weight: object
    stride: int = 1


class MixedWeight(NamedTuple):
    """A weight of LLM.int8(), as llm_int8_matmul takes it; which inputs have outliers all vectors of a call decide."""

    q: np.ndarray
    scale: np.ndarray
    threshold: float


def transformed_inputs(ops):
    """`ops` with a linear that does what the weights of this file ask for; others stay as they are.

    Parameters
        ops: an engine, or what quantized_inputs or tape.lift make of one: a grid then meets the transformed input.
    Returns
        a namespace, as a model page takes it.

    >>> import numpy as np
    >>> import refq
    >>> weight = RotatedInput(np.float32([[1, 0]]))
    >>> transformed_inputs(refq).linear(np.float32([[3, 3]]), weight).round(4)
    array([[4.2426]], dtype=float32)
    """

    last = None, None, None  # q, k and v ask for the same input

    def linear(x, weight, bias=None):
        nonlocal last
        while isinstance(weight, (ReassembledInput, RotatedInput)):
            (weight, how), known = weight, last
            if not (known[0] is x and known[1] is how):
                y = rotate_heads(x, how, ops) if isinstance(how, int) else ops.reassemble_input(x, how)
                known = last = x, how, y
            x = known[2]
        if isinstance(weight, MixedWeight):
            y = ops.llm_int8_matmul(x, *weight)
            return y if bias is None else y + bias
        return ops.linear(x, weight, bias)

    return Replaced(ops, linear=linear)


def rotated_queries(ops):
    """`ops` whose attention rotates queries and keys, which changes no score: then a grid for them may be laid.

    Parameters
        ops: an engine, or what replaces its causal_attention by one with grids.
    Returns
        a namespace, as a model page takes it.
    """

    def causal_attention(q, k, v):
        return ops.causal_attention(ops.hadamard_transform(q), ops.hadamard_transform(k), v)

    return Replaced(ops, causal_attention=causal_attention)


def rotate_heads(x, stride, ops):
    """hadamard_transform over the axis n / stride of x (..., n / stride, stride), which are the last one of x."""
    if stride == 1:
        return ops.hadamard_transform(x)
    lead = range(len(x.shape) - 1)
    turned = (*lead, len(lead) + 1, len(lead))
    parts = x.reshape(*x.shape[:-1], x.shape[-1] // stride, stride).transpose(*turned)
    return ops.hadamard_transform(parts).transpose(*turned).reshape(*x.shape)
