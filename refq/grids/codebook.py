"""Grids that are tables: real = codebook[q] * scale."""

import numpy as np

from refq.grids import arguments


def codebook_quantize(x, scale, codebook):
    """Real numbers to the index of the nearest table entry.

    q = argmin |x / scale - codebook[q]|, the lower index on ties

    Parameters
        x: float32 (or float64), any shape, finite.
        scale: dtype of x, broadcasts to x; finite, not 0.
        codebook: dtype of x (n,), 2 to 256 finite entries in any order.
    Returns
        q: uint8, shape of x.
    Raises
        GridError: scale breaks its rule.
        ShapeError: codebook is no table of 2 to 256 entries, or scale does not broadcast.
        NonFiniteError: x or codebook holds NaN or infinity.

    >>> codebook_quantize(np.float32([0.2, -3.0, 9.0]), np.float32(2), np.float32([-1, 0, 1]))
    array([1, 0, 2], dtype=uint8)

    Source: our choice; the decision by midpoints is that of bitsandbytes.
    Spec: codebook_quantize
    """
    x, scale, codebook = arguments.codebook_arguments(x, scale, codebook)
    with np.errstate(over="ignore"):
        t = x / scale
    return nearest(t, codebook)


def codebook_dequantize(q, scale, codebook):
    """Table indices to real numbers.

    x = codebook[q] * scale

    Parameters
        q: integer codes, any shape, 0 .. n - 1.
        scale: dtype of codebook, broadcasts to q; finite, not 0.
        codebook: float32 (or float64) (n,), 2 to 256 finite entries.
    Returns
        x: dtype of codebook, shape of q.
    Raises
        GridError: a code outside the table, or scale breaks its rule.
        ShapeError: codebook is no table of 2 to 256 entries, or scale does not broadcast.
        NonFiniteError: codebook holds NaN or infinity.

    >>> codebook_dequantize(np.uint8([2, 0]), np.float32(0.5), np.float32([-1, 0, 1]))
    array([ 0.5, -0.5], dtype=float32)

    Source: Dettmers et al. 2023 (2305.14314), section 2.
    Spec: codebook_dequantize
    """
    q, scale, codebook = arguments.codebook_codes(q, scale, codebook)
    with np.errstate(over="ignore"):
        return codebook[q] * scale


def nearest(t, codebook):
    """Index of the table entry nearest to each number, of two the lower; a table may have one entry."""
    t = t.astype(np.float64)
    values, index = np.unique(codebook, return_index=True)  # ascending; of equal entries the first
    values = values.astype(np.float64)
    middle = values[:-1] / 2 + values[1:] / 2
    low = np.searchsorted(middle, t)  # middle[low - 1] < t <= middle[low]
    high = np.minimum(low + 1, index.size - 1)
    tie = t == np.append(middle, np.inf)[low]
    return np.where(tie, np.minimum(index[low], index[high]), index[low]).astype(np.uint8)
