"""Twins of refq.solvers.hessian."""

import math

import numpy as np

from refq.solvers import arguments
from refq_fast import blas, threads
from refq_fast.kernel import serial
from refq_fast.lanes import FOUR, LANES, spread

STRIPE = 512  # columns of a Hessian that are computed together, with all rows above
LEAF = 64  # inputs that a kernel takes; from there on matrices are halved and BLAS multiplies them
ROWS = 256  # of a task that divides
TILE = 256  # rows and columns of a product at most: it stays in the cache until it is subtracted


def hessian(x):
    """Twin of refq.hessian.

    The upper triangle alone, in stripes.
    Spec: hessian
    """
    x = arguments.tokens(x)
    x = blas.laid_out(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]))
    width = x.shape[1]
    found = np.empty((width, width), x.dtype)
    for left in range(0, width, STRIPE):
        right = min(left + STRIPE, width)
        found[:right, left:right] = blas.product(x[:, :right].T, x[:, left:right], "FC")
    _finish(found, x.dtype.type(len(x)))
    return found


def hessian_factor(hessian, damping=0.01):
    """Twin of refq.hessian_factor.

    By halves down to LEAF inputs, products by BLAS in several threads.
    Spec: hessian_factor
    """
    hessian, damping = arguments.hessian(hessian), arguments.damping(damping)
    matrix, pivots = factored(hessian, damping)
    return np.triu(matrix).astype(hessian.dtype), pivots.astype(hessian.dtype)


def factored(hessian, damping, order=None):
    """S, whose lower triangle is anything, and the pivots, in float64; of the inputs in another order."""
    if order is not None and (order[1:] < order[:-1]).any():
        upper = hessian
        hessian = np.zeros(upper.shape, upper.dtype)
        _permute(upper, order, hessian)
    matrix = arguments.damped(hessian, damping)
    diagonal = matrix.diagonal().copy()
    pivots = np.empty(len(matrix))
    _factor(matrix, pivots, diagonal, 0, len(matrix))
    np.fill_diagonal(matrix, 1)
    return matrix, pivots


def _factor(a, pivots, diagonal, start, stop):
    """Replace a[start:stop, start:stop], of which later inputs are taken out, by S above the diagonal."""
    if stop - start <= LEAF:
        wrong = _factor_leaf(a[start:stop, start:stop], pivots[start:stop], diagonal[start:stop], arguments.LEAST)
        if wrong >= 0:
            arguments.definite(start + wrong, pivots[start + wrong], diagonal[start + wrong])
        return
    half = middle(start, stop)
    _factor(a, pivots, diagonal, half, stop)
    rows = a[start:half, half:stop]
    blas.each(lambda cut: _divide(rows[cut], a[half:stop, half:stop]), _cuts(half - start, ROWS))
    rows /= pivots[half:stop]

    cuts = _cuts(half - start, TILE)

    def subtract(i):
        scaled = rows[i] * pivots[half:stop]
        for j in cuts:
            if i.start <= j.start:
                a[start:half, start:half][i, j] -= scaled @ rows[j].T

    blas.each(subtract, cuts)
    _factor(a, pivots, diagonal, start, half)


def _divide(x, triangle):
    """x = x (S^T)^-1 in place, S the triangle with 1 on the diagonal: columns from the last on."""
    width = x.shape[1]
    if width <= LEAF:
        _divide_leaf(x, triangle)
        return
    half = middle(0, width)
    _divide(x[:, half:], triangle[half:, half:])
    x[:, :half] -= x[:, half:] @ triangle[:half, half:].T
    _divide(x[:, :half], triangle[:half, :half])


def middle(start, stop, unit=LEAF):
    """Half way, a whole number of units from the start."""
    return start + -(-(stop - start) // (2 * unit)) * unit


def _cuts(length, size):
    return threads.cuts(length, -(-length // size))


@serial
def _permute(upper, order, permuted):
    for i in range(len(order)):
        for j in range(i, len(order)):
            permuted[i, j] = upper[min(order[i], order[j]), max(order[i], order[j])]


@serial
def _factor_leaf(a, pivots, diagonal, least):
    """The factor of a small matrix; the input that follows from later ones, or -1."""
    for j in range(len(a) - 1, -1, -1):
        pivots[j] = a[j, j]
        if not pivots[j] > least * diagonal[j]:
            return j
        for i in range(j):
            share = a[i, j] / pivots[j]
            for k in range(i, j):
                a[i, k] -= share * a[k, j]
        for i in range(j):
            a[i, j] /= pivots[j]
    return -1


@serial
def _divide_leaf(x, triangle):
    """LANES rows side by side; from the last column on, what FOUR of them give to those before at once."""
    width = x.shape[1]
    lanes = np.zeros((width, LANES))
    for top in range(0, len(x), LANES):
        count = min(LANES, len(x) - top)
        for r in range(count):
            for j in range(width):
                lanes[j, r] = x[top + r, j]
        for stop in range(width, 0, -FOUR):
            start = max(stop - FOUR, 0)
            for k in range(stop - 1, start, -1):
                spread(lanes, start, k, lanes, k, k + 1, triangle)
            spread(lanes, 0, start, lanes, start, stop, triangle)
        for r in range(count):
            for j in range(width):
                x[top + r, j] = lanes[j, r]


@serial
def _finish(h, count):
    """Twice the upper triangle, divided by `count`, in both triangles; by blocks."""
    for top in range(0, len(h), 16):
        for left in range(top, len(h), 16):
            for i in range(top, min(top + 16, len(h))):
                for j in range(max(left, i), min(left + 16, len(h))):
                    h[i, j] = (h[i, j] + h[i, j]) / count
                    h[j, i] = h[i, j]
