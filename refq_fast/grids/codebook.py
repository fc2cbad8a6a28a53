"""Twins of refq.grids.codebook: the decisions become thresholds in the dtype of x, counted in vector lanes."""

import numpy as np
from numba import prange

from refq import checks
from refq_fast.grids.affine import CHUNK, as_rows
from refq_fast.kernel import parallel


def codebook_quantize(x, scale, codebook):
    """Twin of refq.codebook_quantize.

    One pass over x, parallel; every threshold is compared, which beats a search that branches.
    Spec: codebook_quantize
    """
    x, scale, codebook = checks.codebook_arguments(x, scale, codebook)
    rows, scale, _ = as_rows(x, scale, 0)
    thresholds, index = _decisions(codebook)
    q = np.empty(rows.shape, np.uint8)
    _codebook_quantize(rows, scale, thresholds, index, q)
    return q.reshape(x.shape)


def codebook_dequantize(q, scale, codebook):
    """Twin of refq.codebook_dequantize.

    One pass over q, parallel, no temporaries.
    Spec: codebook_dequantize
    """
    q, scale, codebook = checks.codebook_codes(q, scale, codebook)
    rows, scale, _ = as_rows(q, scale, np.zeros((), scale.dtype))
    x = np.empty(rows.shape, codebook.dtype)
    _codebook_dequantize(rows, scale, codebook, x)
    return x.reshape(q.shape)


def _decisions(codebook):
    """Thresholds, and the index of each entry in value order: q = index[number of thresholds below t]."""
    values, index = np.unique(codebook, return_index=True)
    middle = values[:-1].astype(np.float64) / 2 + values[1:].astype(np.float64) / 2
    # a threshold is the largest t that still means the entry below it; the middle itself only if that index is lower,
    # or if the middle before is the same number, as float64 rounds those of neighbours
    below = middle.astype(codebook.dtype)
    down = np.nextafter(below, -np.inf, dtype=codebook.dtype)
    lower = (index[:-1] < index[1:]) | np.append(False, middle[1:] == middle[:-1])
    keeps = np.where(lower, below <= middle, below < middle)
    return np.where(keeps, below, down), index.astype(np.uint8)


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
