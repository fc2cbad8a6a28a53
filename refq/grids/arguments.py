"""The arguments of codebooks, each by its rule. Both packages call these."""

import numpy as np

from refq import checks
from refq.errors import GridError, ShapeError

ENTRIES = 256  # an index is a byte
REDUCTIONS = ("mean", "sum")


def lookup(index, codebook):
    """index (..., n), codebook (..., k) whose leading axes broadcast to those of index; every index names an entry."""
    codebook = checks.has_axis("codebook", checks.as_float("codebook", codebook))
    if not 1 <= codebook.shape[-1] <= ENTRIES:
        raise ShapeError(f"codebook has shape {codebook.shape}; 1 to {ENTRIES} entries on the last axis are needed")
    index = checks.has_axis("index", checks.as_integer("index", index))
    checks.broadcasts("codebook without its last axis,", codebook[..., 0], index.shape[:-1])
    return checks.within("index", index, 0, codebook.shape[-1] - 1), checks.finite("codebook", codebook)


def lookup_gradient(g, index, codebook, reduce):
    """As lookup, g (..., n) in the dtype of codebook, and how the gradients of an entry's members become one."""
    index, codebook = lookup(index, codebook)
    g = checks.as_float_like("g", g, codebook)
    checks.same_shape("g", g, "index", index.shape)
    if reduce not in REDUCTIONS:
        raise GridError(f"reduce={reduce!r}; one of {', '.join(REDUCTIONS)} is needed")
    return checks.finite("g", g), index, codebook


def codebook_arguments(x, scale, codebook):
    """The arguments of codebook_quantize, each by its rule."""
    x = checks.as_float("x", x)
    scale = checks.grid_scale(scale, x)
    codebook = table(checks.as_float_like("codebook", codebook, x))
    return checks.finite("x", x), scale, codebook


def codebook_codes(q, scale, codebook):
    """The arguments of codebook_dequantize, each by its rule."""
    codebook = table(checks.as_float("codebook", codebook))
    q = checks.within("q", checks.as_integer("q", q), 0, codebook.size - 1).astype(np.uint8, copy=False)
    scale = checks.as_float_like("scale", scale, codebook)
    checks.broadcasts("scale", scale, q.shape)
    return q, checks.grid_scale(scale, scale), codebook


def table(codebook):
    """A codebook: one axis, 2 to 256 finite entries in any order."""
    if codebook.ndim != 1 or not 2 <= codebook.size <= 256:
        raise ShapeError(f"codebook has shape {codebook.shape}; one axis of 2 to 256 entries is needed")
    return checks.finite("codebook", codebook)
