"""Low-rank error correction: two thin factors beside the weight of a linear layer."""

import math
from typing import NamedTuple

import numpy as np

from refq.ops.namespace import Replaced
from refq.tape import record
from refq.training import arguments_reconstruction as arguments


class CorrectedWeight(NamedTuple):
    """A weight, all that linear takes as one, and its correction: linear adds scaling * (x @ low.T) @ high.T.

    low (rank, in), high (out, rank): arrays, or Tensors of the tape.
    """

    weight: object
    low: object
    high: object
    scaling: float


def low_rank_init(shape, rank, draws):
    """Factors that correct nothing yet, from random numbers that the caller brings.

    low = (2 * draws - 1) / sqrt(in),  high = 0

    Parameters
        shape: (out, in) of the weight, each 1 or more.
        rank: int, 1 or more.
        draws: float64 (rank, in), 0 <= draws < 1.
    Returns
        low: float32 (rank, in), from -1 / sqrt(in) to 1 / sqrt(in).
        high: float32 (out, rank).
    Raises
        GridError: a draw that is not in 0 <= draws < 1.
        ShapeError: a shape, rank or draws that break their rule.

    >>> low, high = low_rank_init((2, 4), 1, np.array([[0, 0.25, 0.5, 0.75]]))
    >>> low, high
    (array([[-0.5 , -0.25,  0.  ,  0.25]], dtype=float32), array([[0.],
           [0.]], dtype=float32))

    Source: LoRA's program and QLLM's, as they were read: Kaiming uniform with a = sqrt(5); the draws are ours.
    Spec: low_rank_init
    """
    (out, inputs), rank, draws = arguments.low_rank_init(shape, rank, draws)
    low = (2 * draws - 1) / math.sqrt(inputs)
    return low.astype(np.float32), np.zeros((out, rank), np.float32)


def low_rank_merge(w, low, high, scaling):
    """The weight with its correction in it.

    y = w + scaling * high @ low

    Parameters
        w: float32 (or float64) (out, in), finite.
        low, high: dtype of w, (rank, in) and (out, rank), finite.
        scaling: finite number.
    Returns
        y: dtype and shape of w.
    Raises
        GridError: a scaling that is not finite, or a sum that overflows.
        NonFiniteError: w, low or high holds NaN or infinity.
        ShapeError: shapes that do not fit.

    >>> low_rank_merge(np.float32([[1, 2]]), np.float32([[4, 8]]), np.float32([[2]]), 0.25)
    array([[3., 6.]], dtype=float32)

    Source: QLLM (2310.08041), section 4.3; its program has scaling = 1 / rank; sums in float64 are our choice.
    Spec: low_rank_merge
    """
    w, low, high, scaling = arguments.low_rank_merge(w, low, high, scaling)
    total = np.zeros(w.shape, np.float64)
    for row, column in zip(low.astype(np.float64), high.T.astype(np.float64), strict=True):
        total += np.multiply.outer(column, row)
    with np.errstate(over="ignore"):
        return arguments.merged((w + scaling * total).astype(w.dtype))


def corrected_outputs(ops):
    """`ops` with a linear that adds what a CorrectedWeight asks for; other weights stay as they are.

    Parameters
        ops: an engine, or what tape.lift makes of one. The factors are never multiplied with each other: the gradient
            of a weight that is no Tensor, which is as large as the weight, is then not needed for theirs.
    Returns
        a namespace, as a model page takes it.

    >>> import refq
    >>> weight = CorrectedWeight(np.float32([[1, 2]]), np.float32([[4, 8]]), np.float32([[2]]), 0.25)
    >>> corrected_outputs(refq).linear(np.float32([[1, 1]]), weight)
    array([[9.]], dtype=float32)
    """

    def linear(x, weight, bias=None):
        if not isinstance(weight, CorrectedWeight):
            return ops.linear(x, weight, bias)
        weight, low, high, scaling = weight
        high = record(np.multiply, lambda g, high, scaling: g * scaling, high, scaling)
        return ops.linear(x, weight, bias) + ops.linear(ops.linear(x, low), high)

    return Replaced(ops, linear=linear)
