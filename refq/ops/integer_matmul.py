"""Products of codes with packed codes: whole numbers, exact."""

import numpy as np

from refq.grids.groups import to_groups
from refq.grids.pack import unpack_codes
from refq.ops import arguments


def integer_matmul(q, zero_point, packed, weight_zero_point, bits):
    """Exact sums of products of codes, one for each group of a weight.

    y[..., o, j] = sum of (q[..., i] - zero_point) * (w[o, i] - weight_zero_point[o, j]) over the inputs i of group j

    Parameters
        q: integer codes (..., in), at most 2**20 in size.
        zero_point: int32, broadcasts to (..., 1); at most 2**20 in size.
        packed: uint8, (out, ceil(in * bits / 8)), each row the pack_codes of in codes w.
        weight_zero_point: int32 (out, groups); groups divides in.
        bits: int, 2..8.
    Returns
        y: (..., out, groups), int32 where every sum must fit it, otherwise int64.
    Raises
        ShapeError: the shapes do not fit.
        GridError: q, bits or a zero point breaks its rule.
        FormatError: a bit after the last code is 1.

    >>> integer_matmul(np.int32([1, 2]), 0, np.uint8([[0x21]]), np.int32([[0]]), 4)
    array([[5]], dtype=int32)

    Source: Jacob et al. 2018 (1712.05877), section 2.2.
    Spec: integer_matmul
    """
    q, zero_point, packed, weight_zero_point, bits = arguments.integer_matmul(
        q, zero_point, packed, weight_zero_point, bits
    )
    size = q.shape[-1] // weight_zero_point.shape[1]
    x = to_groups(q - zero_point, size).astype(np.int64)
    w = to_groups(unpack_codes(packed, bits, q.shape[-1]), size).astype(np.int64) - weight_zero_point[..., None]
    return np.einsum("...ji,oji->...oj", x, w).astype(sum_type(q, zero_point, weight_zero_point, bits))


def sum_type(q, zero_point, weight_zero_point, bits):
    """int32 where no codes of `bits` bits can give a sum beyond it, otherwise int64."""
    reach = int(np.abs(q - zero_point).max(initial=0))
    reach_w = 2 ** (bits - 1) + int(np.abs(weight_zero_point).max(initial=0))
    fits = reach * reach_w * (q.shape[-1] // weight_zero_point.shape[1]) < 2**31
    return np.int32 if fits else np.int64
