"""Twins of refq.training.optimizers."""

import math

import numpy as np
from numba import prange, types
from numba.extending import overload

from refq.training import arguments_optimizers as arguments
from refq.training.optimizers import SMALL
from refq_fast.kernel import parallel, serial
from refq_fast.rows import finite
from refq_fast.simd import LANES, load_floats, root, splat, store
from refq_fast.streams import FAR, aligned, stream
from refq_fast.sums import squares, total

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
    after, state = aligned(w.shape, w.dtype), aligned(moments.shape, w.dtype)
    marks = np.empty(-(-w.size // CHUNK), w.dtype)
    _adamw(*map(_flat, (w, g, moments)), tuple(map(w.dtype.type, numbers)), after.reshape(-1), state.reshape(-1), marks)
    finite(marks, g=g)
    return after, state


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
        marks[task] = _adamw_run(w, g, moments, numbers, after, state, task * CHUNK)


@serial
def _adamw_run(w, g, moments, numbers, after, state, start):
    """CHUNK elements, or what there is; in both states the first moments stand in front of the second ones."""
    beta1, rest1, beta2, rest2, unbias1, unbias2, eps, rate, kept = numbers
    run, lanes = (start, min(start + CHUNK, w.size)), np.zeros(LANES, w.dtype)
    for i in range(_adamw_vectors(w, g, moments, numbers, after, state, run, lanes), run[1]):
        lanes[0] += g[i] - g[i]
        m = state[i] = beta1 * moments[i] + rest1 * g[i]
        v = state[w.size + i] = beta2 * moments[w.size + i] + rest2 * (g[i] * g[i])
        after[i] = kept * w[i] - rate * (m / unbias1 / (np.sqrt(v / unbias2) + eps))
    return total(lanes)


def _adamw_vectors(w, g, moments, numbers, after, state, run, lanes):
    """Compute whole vectors, and give where they end."""
    raise NotImplementedError("for kernels only")


@overload(_adamw_vectors)
def _choose_adamw_vectors(w, g, moments, numbers, after, state, run, lanes):
    if w.dtype != types.float32:
        return lambda w, g, moments, numbers, after, state, run, lanes: run[0]

    def vectors(w, g, moments, numbers, after, state, run, lanes):
        beta1, rest1, beta2, rest2, unbias1, unbias2, eps, rate, kept = numbers
        end, mark, far = run[0] + (run[1] - run[0]) // LANES * LANES, splat(np.float32(0)), w.size >= FAR
        for i in range(run[0], end, LANES):
            up = load_floats(g, i)
            mark = mark + (up - up)
            m = splat(beta1) * load_floats(moments, i) + splat(rest1) * up
            v = splat(beta2) * load_floats(moments, w.size + i) + splat(rest2) * (up * up)
            move = m / splat(unbias1) / (root(v / splat(unbias2)) + splat(eps))
            stream(state, i, m, far)
            stream(state, w.size + i, v, far)
            stream(after, i, splat(kept) * load_floats(w, i) - splat(rate) * move, far)
        store(lanes, 0, mark)
        return end

    return vectors
