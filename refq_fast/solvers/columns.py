"""Twin of refq.solvers.columns: inputs by halves, rows of w side by side, products by BLAS in between."""

import numpy as np
from numba.extending import overload

from refq import checks
from refq_fast import blas, threads
from refq_fast.kernel import serial
from refq_fast.lanes import FOUR, LANES, spread
from refq_fast.simd import LANES as SQUARE
from refq_fast.simd_squares import turn
from refq_fast.solvers.hessian import LEAF, factored, middle

ROWS = 512  # of w, a task
BLOCK = 512  # inputs, or whole groups, that are given at once what all earlier ones moved


def solve(w, hessian, damping, order, grid, fit=None):
    """Codes, reals and errors of weights whose inputs are taken in `order`.

    grid: scale and zero_point (out, G), qmin, qmax.
    fit: None, or fit(groups) -> scale and zero_point (out, 1), which fills the grid in when the turn of a group comes.
    """
    factor, pivots = factored(hessian, damping, order)
    size = w.shape[1] // grid[0].shape[1]
    plan = order // size, np.sqrt(pivots)
    w = _in_turn(w, order, hessian.diagonal() == 0)
    found = np.empty(w.shape, np.int32), np.empty(w.shape, w.dtype), np.empty(w.shape, w.dtype)

    def task(cut):
        scale, zero_point = (np.ascontiguousarray(part[cut].T, w.dtype) for part in grid[:2])
        parts = scale, zero_point, w.dtype.type(grid[2]), w.dtype.type(grid[3])
        fitted = _solve_rows(w[cut], factor, plan, parts, tuple(part[cut] for part in found), fit and (size, fit))
        if fit:
            grid[0][cut], grid[1][cut] = fitted[0].T, fitted[1].T

    blas.each(task, threads.cuts(len(w), -(-len(w) // ROWS)))
    checks.finite("error", found[2])
    return found if _in_order(order) else tuple(part[:, np.argsort(order)] for part in found)


def _solve_rows(w, factor, plan, grid, found, refit):
    """All inputs of some rows."""
    width = w.shape[1]
    size, fit = refit or (width, None)
    unit = size if fit else LEAF
    block = -(-BLOCK // unit) * unit
    moved, taken = np.empty(w.T.shape), np.empty((min(block, width), len(w)))
    for start in range(0, width, block):
        stop = min(start + block, width)
        np.matmul(factor[:start, start:stop].T, moved[:start], out=taken[: stop - start])
        _halves(start, stop, (w, factor, (*plan, *grid), found), (taken[: stop - start], moved), (size, fit))
    return grid


def _halves(start, stop, rows, sums, refit):
    """Before the second half takes its turn it is given what the first moved. A function in itself would be a cycle.

    sums: what these inputs have lost to earlier ones, and how far each was moved.
    """
    (w, factor, plan, found), (taken, moved), (size, fit) = rows, sums, refit
    if fit and stop - start == size:
        scale, zero_point = fit((w[:, start:stop] - taken.T).astype(w.dtype))
        plan[2][start // size], plan[3][start // size] = scale[:, 0], zero_point[:, 0]
    if stop - start <= min(size, LEAF):
        _leaf((start, stop), w, sums, factor, plan, found)
        return
    half = middle(start, stop, LEAF if stop - start <= size else size)
    _halves(start, half, rows, (taken[: half - start], moved), refit)
    taken[half - start :] += factor[start:half, half:stop].T @ moved[start:half]
    _halves(half, stop, rows, (taken[half - start :], moved), refit)


def _in_turn(w, order, dead):
    """w in the order of the inputs, 0 where nobody sees it."""
    w = np.where(dead, w.dtype.type(0), w) if dead.any() else w
    return np.ascontiguousarray(w if _in_order(order) else w[:, order])


def _in_order(order):
    return (order[1:] > order[:-1]).all()


@serial
def _leaf(inputs, w, sums, factor, grid, found):
    """LANES rows side by side; what FOUR inputs have to give to all after them at once."""
    (taken, moved), (group, root, scale, zero, qmin, qmax), (q, w_hat, error) = sums, grid, found
    first, width = inputs[0], inputs[1] - inputs[0]
    triangle = factor[first : inputs[1], first : inputs[1]].T.copy()
    v, gone = np.zeros((width, LANES)), np.zeros((width, LANES))
    codes, reals = np.empty((width, LANES), np.int32), np.empty((width, LANES), w.dtype)
    s, z = np.ones(LANES, w.dtype), np.zeros(LANES, w.dtype)
    for top in range(0, len(w), LANES):
        count = min(LANES, len(w) - top)
        _turn(w, (top, first), reals, (0, 0), (count, width))
        for j in range(width):
            for r in range(count):
                gone[j, r] = -reals[j, r]
                v[j, r] = reals[j, r] - taken[j, top + r]
        for start in range(0, width, FOUR):
            stop = min(start + FOUR, width)
            for k in range(start, stop):
                spread(v, k, k + 1, gone, start, k, triangle)
                for r in range(count):
                    s[r], z[r] = scale[group[first + k], top + r], zero[group[first + k], top + r]
                _round(v[k], gone[k], (s, z, qmin, qmax), codes[k], reals[k])
            spread(v, stop, width, gone, start, stop, triangle)
        _turn(codes, (0, 0), q, (top, first), (width, count))
        _turn(reals, (0, 0), w_hat, (top, first), (width, count))
        for j in range(width):
            for r in range(count):
                moved[first + j, top + r] = gone[j, r]
                reals[j, r] = s.dtype.type(v[j, r] * root[first + j])
        _turn(reals, (0, 0), error, (top, first), (width, count))


@serial
def _round(v, moved, grid, q, w_hat):
    """v of one input becomes what its codes miss."""
    scale, zero, qmin, qmax = grid
    for r in range(LANES):
        u = min(max(np.rint(scale.dtype.type(v[r]) / scale[r]) + zero[r], qmin), qmax)
        q[r], w_hat[r] = np.int32(u), (u - zero[r]) * scale[r]
        moved[r] += w_hat[r]
        v[r] -= w_hat[r]


def _turn(x, at, y, to, shape):
    """y[to:] = x[at:][:shape] turned, of two contiguous matrices of one dtype."""
    raise NotImplementedError("for kernels only")


@overload(_turn)
def _by_width(x, at, y, to, shape):
    return _turn_squares if x.dtype.bitwidth == 32 else lambda x, at, y, to, shape: _turn_numbers(x, at, y, to, shape)


def _turn_squares(x, at, y, to, shape):
    rows, columns = shape[0] - shape[0] % SQUARE, shape[1] - shape[1] % SQUARE
    flat, turned, step, stride = x.reshape(-1).view(np.float32), y.reshape(-1).view(np.float32), x.shape[1], y.shape[1]
    for i in range(0, rows, SQUARE):
        for j in range(0, columns, SQUARE):
            start, place = (at[0] + i) * step + at[1] + j, (to[0] + j) * stride + to[1] + i
            turn(flat, start, step, turned, place, stride)
    _turn_numbers(x, (at[0] + rows, at[1]), y, (to[0], to[1] + rows), (shape[0] - rows, shape[1]))
    _turn_numbers(x, (at[0], at[1] + columns), y, (to[0] + columns, to[1]), (rows, shape[1] - columns))


@serial
def _turn_numbers(x, at, y, to, shape):
    for i in range(shape[0]):
        for j in range(shape[1]):
            y[to[0] + j, to[1] + i] = x[at[0] + i, at[1] + j]
