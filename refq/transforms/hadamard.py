"""Hadamard matrices of any order, and the fast product with them."""

import functools

import numpy as np

from refq.transforms import arguments_rotation as arguments
from refq.transforms.hadamard_matrices import core, sylvester

WIDEST = 6  # bits of a Sylvester factor's order: short products are faster than butterflies in NumPy


def hadamard(n):
    """An orthogonal matrix whose entries are 1 or -1, or nearly of one size where no such is known here.

    hadamard(n) @ hadamard(n).T = n * identity;  hadamard(n) = core (x) Sylvester matrix of order n / K

    Parameters
        n: int, 1..65536.
    Returns
        h: float64, (n, n); entries 1 and -1, or cosines up to sqrt(2) if n is not K * 2**k for a K known here.
    Raises
        GridError: n outside its range.

    >>> hadamard(4)
    array([[ 1.,  1.,  1.,  1.],
           [ 1., -1.,  1., -1.],
           [ 1.,  1., -1., -1.],
           [ 1., -1., -1.,  1.]])

    Source: Sylvester 1867, Paley 1933, Williamson 1944; which K, and cosines elsewhere: our choice.
    Spec: hadamard
    """
    n = arguments.order(n)
    first = core(n)
    return np.kron(first, sylvester(n // len(first)))


def hadamard_transform(x):
    """Rotation by a Hadamard matrix, which spreads an outlier over all channels.

    y = x @ hadamard(n).T / sqrt(n)

    Parameters
        x: float32 (or float64), (..., n), n of 1..65536.
    Returns
        y: dtype and shape of x; as long a vector as x.
    Raises
        ShapeError: x has no channel, or more than 65536.

    >>> hadamard_transform(np.float32([2, 0, 0, 4]))
    array([ 3., -1., -1.,  3.], dtype=float32)

    Source: QuaRot (2404.00456), online Hadamard transform.
    Spec: hadamard_transform
    """
    x = arguments.rotated(x)
    return _product(x, _factors(x.shape[-1]))


def hadamard_transform_vjp(g, x):
    """Gradient of hadamard_transform: the rotation back.

    gx = g @ hadamard(n) / sqrt(n)

    Parameters
        g: dtype and shape of x.
        x: as hadamard_transform takes it.
    Returns
        gx: dtype and shape of x; hadamard_transform_vjp(hadamard_transform(x), x) is x again.
    Raises
        as hadamard_transform; ShapeError if g has another shape than x.

    >>> hadamard_transform_vjp(np.float32([3, -1, -1, 3]), np.float32([2, 0, 0, 4]))
    array([2., 0., 0., 4.], dtype=float32)

    Source: derivative of hadamard_transform.
    Spec: hadamard_transform_vjp
    """
    x = arguments.rotated(x)
    return _product(arguments.incoming(g, x, x.shape), [h.T for h in _factors(x.shape[-1])])


@functools.lru_cache(maxsize=8)
def _factors(n):
    """Matrices whose Kronecker product is hadamard(n): the core, and Sylvester's of nearly equal orders."""
    first = core(n)
    bits = (n // len(first)).bit_length() - 1
    parts = -(-bits // WIDEST)
    return [first, *(sylvester(2 ** (bits // parts + (i < bits % parts))) for i in range(parts))]


def _product(x, factors):
    """x times the transposed Kronecker product over the root of its order, a factor at a time."""
    shape, n = x.shape, x.shape[-1]
    for h in reversed(factors):  # the last axis is multiplied, then moves to the front
        parts = x.reshape(x.size // len(h), len(h)) @ h.T.astype(x.dtype)
        x = parts.reshape(x.size // n, n // len(h), len(h)).swapaxes(1, 2).reshape(shape)
    return x / x.dtype.type(np.sqrt(n))
