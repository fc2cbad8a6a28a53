"""One tensor of the model to packed indices and codebooks, a chunk of rows at a time."""

import numpy as np

from refq.errors import GridError
from refq.files.safetensors import as_float32
from refq.grids.pack import as_codes
from refq.jobs import figures
from refq.jobs.plan import row_chunks
from refq.jobs.workers import in_order


def _nf4(engine, groups, bits):
    """NF4's table times the largest magnitude of the group."""
    codebook = engine.nf4_codebook() * np.abs(groups).max(axis=-1, keepdims=True)
    return engine.lloyd(groups, codebook, 0)


# method -> codebook and index of groups; of those in NEAREST the index is the nearest entry, for linear ones the bin
FITS = {
    "kmeans": lambda engine, groups, bits: engine.kmeans_optimal(groups, 2**bits),
    "linear_mean": lambda engine, groups, bits: engine.linear_mean(groups, bits),
    "linear_round": lambda engine, groups, bits: engine.linear_round(groups, bits),
    "quantile": lambda engine, groups, bits: engine.quantile_codebook(groups, bits),
    "nf4": _nf4,
}
NEAREST = ("kmeans", "quantile", "nf4")


def fit_codebook(groups, method, bits, engine):
    """Codebooks that float16 holds, and their indices: what is measured is what is stored.

    Parameters
        groups: float32 (..., n).
        method: one of FITS.
        bits: int.
        engine: refq or refq_fast.
    Returns
        codebook: float32 (..., 2**bits), rounded to float16 before an index of NEAREST is assigned.
        index: uint8 (..., n).
    Raises
        GridError: an entry beyond float16.
    """
    codebook, index = FITS[method](engine, groups, bits)
    with np.errstate(over="ignore"):
        codebook = codebook.astype(np.float16).astype(np.float32)
    if not np.isfinite(codebook).all():
        raise GridError("an entry of a codebook rounds to infinity in float16; scale the weights down")
    return codebook, engine.lloyd(groups, codebook, 0)[1] if method in NEAREST else index


def indexed(unit, source, errors):
    """Yield (part, array) of a unit whose scheme is Codebooks, as layer.pieces does."""
    checkpoint, engine, scheme = source.checkpoint, source.engine, unit.scheme
    one = None
    if scheme.strategy == "tensor":
        groups = engine.to_groups(_rows(checkpoint, unit.name, 0, unit.shape[0]), axis=None)
        codebook, index = fit_codebook(groups, scheme.made_by, scheme.bits, engine)
        one = codebook[None], index.reshape(unit.shape)

    def work(rows):
        w = _rows(checkpoint, unit.name, *rows)
        groups = engine.to_groups(w, scheme.group_size)
        if one:
            codebook, index = one[0], one[1][slice(*rows)].reshape(groups.shape)
        else:
            codebook, index = fit_codebook(groups, scheme.made_by, scheme.bits, engine)
        far = figures.sums(groups, engine.codebook_lookup(index, codebook))
        return engine.pack_codes(as_codes(index.reshape(w.shape), scheme.bits), scheme.bits), far, codebook

    fitted = []
    for packed, far, codebook in in_order(engine, work, row_chunks(unit.shape)):
        yield f"{unit.layer}.weight_index", packed
        errors.append(far)
        fitted.append(codebook)
    yield f"{unit.layer}.weight_codebook", (one[0] if one else np.concatenate(fitted)).astype(np.float16)


def _rows(checkpoint, name, start, stop):
    return as_float32(checkpoint.read_rows(name, start, stop))
