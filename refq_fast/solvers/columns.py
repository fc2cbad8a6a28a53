"""Twin of refq.solvers.columns: inputs by halves, rows of w side by side, products by BLAS in between."""

import numpy as np

from refq import checks
from refq_fast import blas, threads
from refq_fast.kernel import serial
from refq_fast.lanes import FOUR, LANES, spread
from refq_fast.solvers.hessian import LEAF, factored, middle

ROWS = 256  # of w, a task: 2 float64 copies of them move together


def solve(w, hessian, damping, order, grid, fit=None):
    """Codes, reals and errors of weights whose inputs are taken in `order`.

    grid: scale and zero_point (out, G), qmin, qmax.
    fit: None, or fit(groups) -> scale and zero_point (out, 1), which fills the grid in when the turn of a group comes.
    """
    factor, pivots = factored(hessian, damping, order)
    size = w.shape[1] // grid[0].shape[1]
    plan = order, order // size, hessian.diagonal() == 0, np.sqrt(pivots)
    found = np.empty(w.shape, np.int32), np.empty(w.shape, w.dtype), np.empty(w.shape, w.dtype)

    def task(cut):
        scale, zero_point = (np.ascontiguousarray(part[cut].T, w.dtype) for part in grid[:2])
        parts = scale, zero_point, w.dtype.type(grid[2]), w.dtype.type(grid[3])
        fitted = _solve_rows(w[cut], factor, plan, parts, [part[cut] for part in found], fit and (size, fit))
        if fit:
            grid[0][cut], grid[1][cut] = fitted[0].T, fitted[1].T

    blas.each(task, threads.cuts(len(w), -(-len(w) // ROWS)))
    checks.finite("error", found[2])
    return found if _in_order(order) else tuple(part[:, np.argsort(order)] for part in found)


def _solve_rows(w, factor, plan, grid, found, refit):
    """All inputs of some rows: before the second half takes its turn it is given what the first half moved."""
    order, group, dead, root = plan
    v, moved = np.empty((2, w.shape[1], len(w)))
    _turn(w, order, dead, v, moved)
    size, fit = refit or (w.shape[1], None)

    def columns(start, stop):
        if fit and stop - start == size:
            scale, zero_point = fit(v[start:stop].T.astype(w.dtype))
            grid[0][start // size], grid[1][start // size] = scale[:, 0], zero_point[:, 0]
        here = slice(start, stop)
        if stop - start <= min(size, LEAF):
            _leaf(
                v[here],
                moved[here],
                factor[here, here],
                (group[here], *grid),
                (*(x[:, here] for x in found), root[here]),
            )
            return
        half = middle(start, stop, LEAF if stop - start <= size else size)
        columns(start, half)
        v[half:stop] -= factor[start:half, half:stop].T @ moved[start:half]
        columns(half, stop)

    columns(0, w.shape[1])
    return grid


def _in_order(order):
    return (order[1:] > order[:-1]).all()


@serial
def _turn(w, order, dead, v, moved):
    """v = w turned, in order, 0 where nobody sees it; moved = -v."""
    for top in range(0, len(w), LANES):
        for j in range(len(order)):
            for r in range(top, min(top + LANES, len(w))):
                v[j, r] = 0 if dead[order[j]] else w[r, order[j]]
                moved[j, r] = -v[j, r]


@serial
def _leaf(v, moved, triangle, grid, found):
    """LANES rows side by side; what FOUR inputs have to give to all after them at once. v becomes what was missed."""
    (group, scale, zero, qmin, qmax), (q, w_hat, error, root) = grid, found
    width, rows = v.shape
    turned = triangle.T.copy()
    lanes, gone = np.zeros((width, LANES)), np.zeros((width, LANES))
    codes, reals = np.empty((width, LANES), np.int32), np.empty((width, LANES), scale.dtype)
    s, z = np.ones(LANES, scale.dtype), np.zeros(LANES, scale.dtype)
    for top in range(0, rows, LANES):
        count = min(LANES, rows - top)
        for j in range(width):
            for r in range(count):
                lanes[j, r], gone[j, r] = v[j, top + r], moved[j, top + r]
        for start in range(0, width, FOUR):
            stop = min(start + FOUR, width)
            for k in range(start, stop):
                spread(lanes, k, k + 1, gone, start, k, turned)
                for r in range(count):
                    s[r], z[r] = scale[group[k], top + r], zero[group[k], top + r]
                for r in range(LANES):
                    u = min(max(np.rint(s.dtype.type(lanes[k, r]) / s[r]) + z[r], qmin), qmax)
                    codes[k, r], reals[k, r] = np.int32(u), (u - z[r]) * s[r]
                    gone[k, r] += reals[k, r]
                    lanes[k, r] -= reals[k, r]
            spread(lanes, stop, width, gone, start, stop, turned)
        for j in range(width):
            for r in range(count):
                moved[j, top + r] = gone[j, r]
        for r in range(count):
            for j in range(width):
                q[top + r, j], w_hat[top + r, j] = codes[j, r], reals[j, r]
                error[top + r, j] = s.dtype.type(lanes[j, r] * root[j])
