"""The loop that solvers share: one input after the other, later ones make up for the error of those before them."""

import numpy as np

from refq import checks
from refq.solvers.hessian import factored


def solve(w, hessian, damping, order, enter, block=128):
    """Codes, reals and errors of weights whose inputs are taken in `order`; enter and block as solve_columns has them.

    Returns
        q: int32 (out, in).
        w_hat: dtype of w (out, in).
        error: dtype of w (out, in), what each input missed times the square root of its pivot.
    """
    w = np.where(hessian.diagonal() == 0, w.dtype.type(0), w)  # nobody sees what they do
    full = np.triu(hessian) + np.triu(hessian, 1).T
    factor, pivots = factored(full[np.ix_(order, order)], damping)
    q, w_hat, missed = solve_columns(w[:, order], factor, enter, block)
    error = checks.finite("error", (missed * np.sqrt(pivots)).astype(w.dtype))
    back = np.argsort(order)
    return q[:, back], w_hat[:, back], error[:, back]


def solve_columns(w, factor, enter, block):
    """v_j = w_j + sum over i < j of (w_i - w_hat_i) * factor_ij;  q_j, w_hat_j = take(j, v_j).

    Parameters
        w: (out, in), the inputs in the order in which they are taken.
        factor: S of hessian_factor, float64 (in, in).
        enter: enter(start, v) -> take, called once a block with v of its inputs as earlier blocks have left it;
            take(j, v_j) -> q_j, w_hat_j. v comes in the dtype of w.
        block: int, inputs of a block; where the rule does not depend on blocks, a matter of speed alone.
    Returns
        q: int32 (out, in).
        w_hat: dtype of w (out, in).
        missed: v - w_hat, float64 (out, in).
    """
    exact, width = w.astype(np.float64), w.shape[1]
    q, w_hat = np.empty(w.shape, np.int32), np.empty_like(w)
    given, missed = np.empty(w.shape), np.empty(w.shape)
    for start in range(0, width, block):
        stop = min(start + block, width)
        v = exact[:, start:stop] + given[:, :start] @ factor[:start, start:stop]
        take = enter(start, v.astype(w.dtype))
        for j in range(start, stop):
            column = v[:, j - start] + given[:, start:j] @ factor[start:j, j]
            q[:, j], w_hat[:, j] = take(j, column.astype(w.dtype))
            given[:, j] = exact[:, j] - w_hat[:, j]
            missed[:, j] = column - w_hat[:, j]
    return q, w_hat, missed
