"""One tensor of the model to packed indices and codebooks, a chunk of rows at a time."""

import math

import numpy as np

from refq.files.safetensors import as_float32
from refq.grids.pack import as_codes
from refq.jobs import figures
from refq.jobs.plan import row_chunks
from refq.jobs.workers import in_order
from refq.training.codebook_student import fit_codebook


def indexed(unit, source, errors):
    """Yield (part, array) of a unit whose scheme is Codebooks, as layer.pieces does."""
    checkpoint, engine, scheme = source.checkpoint, source.engine, unit.scheme
    one = None

    def fit(groups, before):
        draws = None
        if scheme.made_by == "kmeans":
            draws = uniform(unit.name, before, (*groups.shape[:-1], 2**scheme.bits))
        return fit_codebook(groups, scheme.made_by, scheme.bits, draws, engine)

    if scheme.strategy == "tensor":
        groups = engine.to_groups(_rows(checkpoint, unit.name, 0, unit.shape[0]), axis=None)
        codebook, index = fit(groups, 0)
        one = codebook[None], index.reshape(unit.shape)

    def work(rows):
        w = _rows(checkpoint, unit.name, *rows)
        groups = engine.to_groups(w, scheme.group_size)
        if one:
            codebook, index = one[0], one[1][slice(*rows)].reshape(groups.shape)
        else:
            codebook, index = fit(groups, rows[0] * groups.shape[1])
        far = figures.sums(groups, engine.codebook_lookup(index, codebook))
        return engine.pack_codes(as_codes(index.reshape(w.shape), scheme.bits), scheme.bits), far, codebook

    fitted = []
    for packed, far, codebook in in_order(engine, work, row_chunks(unit.shape)):
        yield f"{unit.layer}.weight_index", packed
        errors.append(far)
        fitted.append(codebook)
    yield f"{unit.layer}.weight_codebook", (one[0] if one else np.concatenate(fitted)).astype(np.float16)


def uniform(name, before, shape):
    """Random numbers of k-means++ for groups of a tensor, float64, 0 <= draws < 1, whatever chunk they stand in.

    Parameters
        name: of the tensor.
        before: how many groups of it come before these.
        shape: (..., draws of a group).
    """
    stream = np.random.PCG64(list(name.encode()))
    stream.advance(before * shape[-1])
    return ((stream.random_raw(math.prod(shape)) >> np.uint64(11)) * 2.0**-53).reshape(shape)


def _rows(checkpoint, name, start, stop):
    return as_float32(checkpoint.read_rows(name, start, stop))
