"""Twins of refq.training.optimizers."""

import math

import numpy as np
from numba import prange

from refq.training import arguments_optimizers as arguments
from refq.training.optimizers import SMALL
from refq_fast.kernel import parallel, serial
from refq_fast.rows import finite
from refq_fast.sums import mark, squares

CHUNK = 8192  # elements a task


def adamw(w, g, moments, step, learning_rate, weight_decay=0.0, betas=(0.9, 0.999), eps=1e-8):
    """Twin of refq.adamw.

    One pass over w, g and both moments, parallel; NaN and infinity in g leave a mark.
    Spec: adamw
    """
    w, g, moments = arguments.shaped(w, g, "moments", moments, (2,))
    rate, decay = arguments.rates(learning_rate, weight_decay, w.dtype)
    step, (beta1, beta2), eps = arguments.adam(step, betas, eps, w.dtype)
    numbers = (beta1, 1 - beta1, beta2, 1 - beta2, 1 - beta1**step, 1 - beta2**step, eps, rate, 1 - rate * decay)
    after, state = np.empty(w.size, w.dtype), np.empty((2, w.size), w.dtype)
    before, marks = np.ascontiguousarray(moments).reshape(2, -1), np.empty(-(-w.size // CHUNK), w.dtype)
    _adamw(_flat(w), _flat(g), before, tuple(map(w.dtype.type, numbers)), after, state, marks)
    finite(marks, g=g)
    return after.reshape(w.shape), state.reshape(moments.shape)


def global_norm(gradients):
    """Twin of refq.global_norm.

    One parallel pass, CHUNK elements a sum; NaN and infinity are looked for where they left their mark.
    Spec: global_norm
    """
    named, total = arguments.named(gradients), 0.0
    for name in sorted(named):
        flat = _flat(named[name])
        sums = np.empty(-(-flat.size // CHUNK))
        _squares(flat, sums)
        total += sums.sum()
    if not math.isfinite(total):
        arguments.gradients(gradients)
    return math.sqrt(total)


def clip_gradients(gradients, max_norm):
    """Twin of refq.clip_gradients.

    One parallel pass; gradients that stay as they are stay the very arrays.
    Spec: clip_gradients
    """
    max_norm, norm = arguments.max_norm(max_norm), global_norm(gradients)
    factor = min(1.0, max_norm / (norm + SMALL))
    named = arguments.named(gradients)
    return named if factor == 1 else {name: _scaled(g, g.dtype.type(factor)) for name, g in named.items()}, norm


def _scaled(g, factor):
    y = np.empty(g.size, g.dtype)
    _scale(_flat(g), factor, y)
    return y.reshape(g.shape)


def _flat(x):
    return np.ascontiguousarray(x).reshape(-1)


@parallel
def _squares(g, sums):
    for task in prange(sums.size):
        sums[task] = squares(g[task * CHUNK : task * CHUNK + CHUNK])


@parallel
def _scale(g, factor, y):
    for task in prange((g.size + CHUNK - 1) // CHUNK):
        at, end = task * CHUNK, min(task * CHUNK + CHUNK, g.size)
        _scale_run(g[at:end], factor, y[at:end])


@serial
def _scale_run(g, factor, y):
    for i in range(g.size):
        y[i] = g[i] * factor


@parallel
def _adamw(w, g, moments, numbers, after, state, marks):
    for task in prange(marks.size):
        at, end = task * CHUNK, min(task * CHUNK + CHUNK, w.size)
        marks[task] = mark(g[at:end])
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
