"""Twins of refq.grids.codebook: the decisions become thresholds in the dtype of x, counted in vector lanes."""

import numpy as np
from numba import prange

from refq.grids import arguments
from refq_fast.grids.affine import CHUNK, as_rows
from refq_fast.kernel import parallel


def codebook_quantize(x, scale, codebook):
    """Twin of refq.codebook_quantize.

    One pass over x, parallel; every threshold is compared, which beats a search that branches.
    Spec: codebook_quantize
    """
    x, scale, codebook = arguments.codebook_arguments(x, scale, codebook)
    rows, scale, _ = as_rows(x, scale, 0)
    thresholds, index = decisions(codebook[None])
    q = np.empty(rows.shape, np.uint8)
    _codebook_quantize(rows, scale, thresholds[0], index[0], q)
    return q.reshape(x.shape)


def codebook_dequantize(q, scale, codebook):
    """Twin of refq.codebook_dequantize.

    One pass over q, parallel, no temporaries.
    Spec: codebook_dequantize
    """
    q, scale, codebook = arguments.codebook_codes(q, scale, codebook)
    rows, scale, _ = as_rows(q, scale, np.zeros((), scale.dtype))
    x = np.empty(rows.shape, codebook.dtype)
    _codebook_dequantize(rows, scale, codebook, x)
    return x.reshape(q.shape)


def decisions(codebooks):
    """Thresholds (tables, k - 1), and the index of each entry in value order: q = index[thresholds below t]."""
    order = np.argsort(codebooks, axis=1, kind="stable")
    values = np.take_along_axis(codebooks, order, 1)
    repeated = np.zeros(values.shape, bool)
    repeated[:, 1:] = values[:, 1:] == values[:, :-1]
    if repeated.any():  # of equal entries the first counts; the others stand last, beyond what any t passes
        last = np.argsort(repeated, axis=1, kind="stable")
        values, order, repeated = (np.take_along_axis(v, last, 1) for v in (values, order, repeated))
    wide = values.astype(np.float64) / 2
    middle = wide[:, :-1] + wide[:, 1:]
    # a threshold is the largest t that still means the entry below it; the middle itself only if that index is lower,
    # or if the middle before is the same number, as float64 rounds those of neighbours
    below = middle.astype(codebooks.dtype)
    with np.errstate(over="ignore"):
        down = np.nextafter(below, -np.inf, dtype=codebooks.dtype)
    lower = order[:, :-1] < order[:, 1:]
    lower[:, 1:] |= middle[:, 1:] == middle[:, :-1]
    thresholds = np.where(np.where(lower, below <= middle, below < middle), below, down)
    thresholds[repeated[:, 1:]] = np.inf
    return thresholds, order.astype(np.uint8)


@parallel
def _codebook_quantize(x, scale, thresholds, index, q):
    rows, columns = x.shape
    chunks = (columns + CHUNK - 1) // CHUNK
    for task in prange(rows * chunks):
        row, first = task // chunks, (task % chunks) * CHUNK
        t = x[row, first : first + CHUNK] / scale[row]
        below = np.zeros(len(t), np.int32)
        for threshold in thresholds:
            for j in range(len(t)):
                below[j] += t[j] > threshold
        for j in range(len(t)):
            q[row, first + j] = index[below[j]]


@parallel
def _codebook_dequantize(q, scale, codebook, x):
    rows, columns = q.shape
    chunks = (columns + CHUNK - 1) // CHUNK
    for task in prange(rows * chunks):
        row, first = task // chunks, (task % chunks) * CHUNK
        for j in range(first, min(first + CHUNK, columns)):
            x[row, j] = codebook[q[row, j]] * scale[row]
