"""The arguments of tables that groups have of their own, each by its rule. Both packages call these."""

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
