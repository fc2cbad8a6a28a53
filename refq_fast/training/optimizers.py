"""Twins of refq.training.optimizers."""

import numpy as np
from numba import prange

from refq.training import arguments_optimizers as arguments
from refq_fast.kernel import parallel, serial

CHUNK = 8192  # elements a task


def adamw(w, g, moments, step, learning_rate, weight_decay=0.0, betas=(0.9, 0.999), eps=1e-8):
    """Twin of refq.adamw.

    One pass over w, g and both moments, parallel.
    Spec: adamw
    """
    w, g, moments = arguments.with_state(w, g, "moments", moments, (2,))
    rate, decay = arguments.rates(learning_rate, weight_decay, w.dtype)
    step, (beta1, beta2), eps = arguments.adam(step, betas, eps, w.dtype)
    numbers = (beta1, 1 - beta1, beta2, 1 - beta2, 1 - beta1**step, 1 - beta2**step, eps, rate, 1 - rate * decay)
    after, state = np.empty(w.size, w.dtype), np.empty((2, w.size), w.dtype)
    before = np.ascontiguousarray(moments).reshape(2, -1)
    flat = (np.ascontiguousarray(x).reshape(-1) for x in (w, g))
    _adamw(*flat, before, tuple(map(w.dtype.type, numbers)), after, state)
    return after.reshape(w.shape), state.reshape(moments.shape)


@parallel
def _adamw(w, g, moments, numbers, after, state):
    for task in prange((w.size + CHUNK - 1) // CHUNK):
        at, end = task * CHUNK, min(task * CHUNK + CHUNK, w.size)
        _moments(g[at:end], moments[0, at:end], moments[1, at:end], numbers, state[0, at:end], state[1, at:end])
        _step(w[at:end], state[0, at:end], state[1, at:end], numbers, after[at:end])


@serial
def _moments(g, m, v, numbers, m_after, v_after):
    beta1, rest1, beta2, rest2 = numbers[:4]
    for i in range(g.size):
        m_after[i] = beta1 * m[i] + rest1 * g[i]
        v_after[i] = beta2 * v[i] + rest2 * (g[i] * g[i])


@serial
def _step(w, m, v, numbers, after):
    unbias1, unbias2, eps, rate, kept = numbers[4:]
    for i in range(w.size):
        after[i] = kept * w[i] - rate * (m[i] / unbias1 / (np.sqrt(v[i] / unbias2) + eps))
