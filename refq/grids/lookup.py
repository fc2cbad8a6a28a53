"""Tables of numbers, one a group: index to number, and the gradient of the numbers."""

import numpy as np

from refq.grids import arguments


def codebook_lookup(index, codebook):
    """Indices of a codebook to its entries.

    x[..., i] = codebook[..., index[..., i]]

    Parameters
        index: integers (..., n), 0 .. k - 1.
        codebook: float32 (or float64) (..., k), 1 to 256 finite entries; its leading axes broadcast to those of index.
    Returns
        x: dtype of codebook, shape of index.
    Raises
        GridError: an index that names no entry.
        ShapeError: index or codebook has no axis, too many entries, or leading axes that do not broadcast.
        NonFiniteError: codebook holds NaN or infinity.

    >>> codebook_lookup(np.uint8([[0, 1, 1], [1, 0, 0]]), np.float32([[5, 6], [7, 8]]))
    array([[5., 6., 6.],
           [8., 7., 7.]], dtype=float32)

    Source: Han et al. 2015 (1510.00149), section 3.
    Spec: codebook_lookup
    """
    index, codebook = arguments.lookup(index, codebook)
    tables = np.broadcast_to(codebook, (*index.shape[:-1], codebook.shape[-1]))
    return np.take_along_axis(tables, index.astype(np.int64, copy=False), axis=-1)


def codebook_lookup_vjp(g, index, codebook, reduce="mean"):
    """What a codebook learns: the gradients of the numbers that an entry stands for, averaged or added.

    gcodebook[..., c] = mean (or sum) of the g[..., i] with index[..., i] = c; 0 where there are none

    Parameters
        g: dtype of codebook, shape of index, finite.
        index, codebook: as codebook_lookup takes them.
        reduce: "mean", or "sum", which is the derivative.
    Returns
        gcodebook: shape and dtype of codebook.
    Raises
        as codebook_lookup; GridError: another reduce; ShapeError: g has another shape than index;
        NonFiniteError: g holds NaN or infinity.

    >>> codebook_lookup_vjp(np.float32([1, 2, 4]), np.uint8([0, 1, 1]), np.float32([5, 6, 7]))
    array([1., 3., 0.], dtype=float32)

    Source: the mean: 2010.07109 (recalled, unverified); the sum: Han et al. 2015 (1510.00149), equation 3.
    Spec: codebook_lookup_vjp
    """
    g, index, codebook = arguments.lookup_gradient(g, index, codebook, reduce)
    place = places(index, codebook).reshape(-1)
    total = np.bincount(place, g.reshape(-1), codebook.size)  # added in the order of the elements, in float64
    members = np.bincount(place, minlength=codebook.size) if reduce == "mean" else 1
    with np.errstate(over="ignore"):
        return (total / np.maximum(members, 1)).reshape(codebook.shape).astype(codebook.dtype)


def places(index, codebook):
    """Where each element's entry stands in the flat codebook: shape of index."""
    first = np.arange(0, codebook.size, codebook.shape[-1]).reshape(*codebook.shape[:-1], 1)
    return first + index
