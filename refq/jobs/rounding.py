"""Rows of a weight to packed codes, grids and errors, by the reference: what an engine with a `rounding` of its own
does in one pass."""

import refq
from refq.files.safetensors import as_float32
from refq.jobs import figures


def rounded(w, bits, limits, group_size, symmetric=True, known=None, original=None):
    """Quantize and pack rows.

    Parameters
        w: float32, float16 or bfloat16 (rows, inputs).
        bits: int, 2..8.
        limits: qmin, qmax.
        group_size: int, divides the inputs.
        symmetric: as minmax takes it.
        known: scale and zero_point, which broadcast to (rows, groups, 1); None for those of minmax, in float16.
        original: rows that errors are measured from, of any of these dtypes; None for w.
    Returns
        packed: int32, as pack_compressed_tensors gives it.
        scale, zero_point: (rows, groups).
        errors: figures.sums.
    """
    groups = refq.to_groups(as_float32(w), group_size)
    scale, zero_point = known or refq.minmax(groups, *limits, symmetric, scale_dtype="float16")
    q = refq.quantize(groups, scale, zero_point, *limits)
    before = groups if original is None else as_float32(original).reshape(groups.shape)
    errors = figures.sums(before, refq.dequantize(q, scale, zero_point))
    return refq.pack_compressed_tensors(q.reshape(w.shape), bits), scale[..., 0], zero_point[..., 0], errors
