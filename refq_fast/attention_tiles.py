"""Attention by tiles, so that nothing of size T by S is ever stored: LANES of the queries of a head are one vector.

Arrays are float32: q (heads, R, T, d), k and v (heads, S, width) of whole blocks of keys, width at least d and ROWS.
A head sees its first `lengths` keys; causal: a query those up to its own, the queries being the last of them.
"""

import numpy as np

from refq_fast.exponential import decay
from refq_fast.kernel import serial
from refq_fast.simd import (
    LANES,
    ROWS,
    add_products,
    fma,
    load_block,
    load_floats,
    maximum,
    splat,
    store,
    store_block,
    where,
    zero_block,
)
from refq_fast.simd_squares import turn


@serial
def attend(q, k, v, lengths, causal, y, first, last):
    """y of tiles first..last-1, over all heads; of a head without keys y is left as it is."""
    R, T, d = q.shape[1:]
    width, wide, tiles = k.shape[2], _wide(d), (R * T + LANES - 1) // LANES
    rows, columns = np.zeros(LANES * wide, np.float32), np.empty(max(width, wide) * LANES, np.float32)
    scores, limits = np.empty(k.shape[1] * LANES, np.float32), np.empty(LANES, np.float32)
    scale = np.full(LANES, d**-0.5, np.float32)
    for tile in range(first, last):
        head, start = tile // tiles, tile % tiles * LANES
        if lengths[head] == 0:
            continue
        seen = _look(lengths[head], T, start, causal, limits)
        _gather(q[head].reshape(-1), start, d, scale, rows, columns)
        _score(columns, k[head].reshape(-1), d, width, seen, scores)
        total = _probabilities(limits, seen, scores)
        _mix(scores, v[head].reshape(-1), width, seen, columns)
        _scatter(columns, splat(np.float32(1)) / total, start, d, rows, y[head].reshape(-1))


@serial
def attend_vjp(g, q, k, v, lengths, causal, gq, gk, gv):
    """Gradients of all tiles of some heads; of a head without keys they are left as they are."""
    R, T, d = q.shape[1:]
    S, width, wide = gk.shape[1], k.shape[2], _wide(d)
    rows, columns = np.zeros(LANES * wide, np.float32), np.empty(max(width, wide) * LANES, np.float32)
    queries, gy = np.zeros(LANES * wide, np.float32), np.zeros(LANES * wide, np.float32)
    p, gscores = np.empty(k.shape[1] * LANES, np.float32), np.empty(k.shape[1] * LANES, np.float32)
    sum_k, sum_v = np.empty((k.shape[1], wide), np.float32), np.empty((k.shape[1], wide), np.float32)
    limits, share, scale = np.empty(LANES, np.float32), np.empty(LANES, np.float32), np.full(LANES, d**-0.5, np.float32)
    for head in range(len(q)):
        if lengths[head] == 0:
            continue
        sum_k[:], sum_v[:] = 0, 0
        keys, values = k[head].reshape(-1), v[head].reshape(-1)
        for start in range(0, R * T, LANES):
            seen = _look(lengths[head], T, start, causal, limits)
            _gather(q[head].reshape(-1), start, d, scale, queries, columns)
            _score(columns, keys, d, width, seen, p)
            total = _probabilities(limits, seen, p)
            store(share, 0, splat(np.float32(1)) / total)  # p is not divided by total: g is
            _gather(g[head].reshape(-1), start, d, share, gy, columns)
            _score(columns, values, d, width, seen, gscores)
            _slopes(p, load_floats(share, 0), seen, gscores)
            _mix(gscores, keys, width, seen, columns)
            _scatter(columns, load_floats(scale, 0), start, d, rows, gq[head].reshape(-1))
            _add_outer(gscores, queries, wide, seen, sum_k.reshape(-1))
            _add_outer(p, gy, wide, seen, sum_v.reshape(-1))
        gk[head], gv[head] = sum_k[:S, :d], sum_v[:S, :d]


@serial
def _wide(d):
    """d in whole vectors."""
    return (d + LANES - 1) // LANES * LANES


@serial
def _look(length, T, start, causal, limits):
    """The last key that each query of a tile sees; how many keys any of them sees, to the end of their block."""
    last = 0
    for n in range(LANES):
        limit = length - T + (start + n) % T if causal else length - 1
        limits[n], last = limit, max(last, limit)
    return (last + ROWS) // ROWS * ROWS


@serial
def _gather(x, start, d, factor, rows, columns):
    """Rows of a tile, each times its factor, and the same as columns; 0 beyond the last."""
    wide, whole = len(rows) // LANES, d // LANES * LANES
    count = min(LANES, len(x) // d - start)
    rows[count * wide :] = 0
    for n in range(count):
        for j in range(0, whole, LANES):
            store(rows, n * wide + j, load_floats(x, (start + n) * d + j) * splat(factor[n]))
        for j in range(whole, d):
            rows[n * wide + j] = x[(start + n) * d + j] * factor[n]
    for j in range(0, wide, LANES):
        turn(rows, j, wide, columns, j * LANES, LANES)


@serial
def _scatter(columns, factor, start, d, rows, x):
    """Columns of a tile times a vector, as rows."""
    wide, whole = len(rows) // LANES, d // LANES * LANES
    for j in range(0, d * LANES, LANES):
        store(columns, j, load_floats(columns, j) * factor)
    for j in range(0, wide, LANES):
        turn(columns, j * LANES, LANES, rows, j, wide)
    for n in range(min(LANES, len(x) // d - start)):
        for j in range(0, whole, LANES):
            store(x, (start + n) * d + j, load_floats(rows, n * wide + j))
        for j in range(whole, d):
            x[(start + n) * d + j] = rows[n * wide + j]


@serial
def _score(queries, k, d, width, seen, scores):
    """scores[s] = the products of all queries with key s."""
    for s in range(0, seen, ROWS):
        sums = zero_block()
        for j in range(d):
            sums = add_products(sums, load_floats(queries, j * LANES), k, s * width + j, width)
        store_block(scores, s * LANES, LANES, sums)


@serial
def _probabilities(limits, seen, scores):
    """exp(score - the largest of its query), 0 for the future, in place of the scores; and their sums."""
    limit, hidden = load_floats(limits, 0), splat(np.float32(-np.inf))
    for s in range(int(limits.min()) + 1, seen):
        score = load_floats(scores, s * LANES)
        store(scores, s * LANES, where(splat(np.float32(s)), limit, score, hidden))
    top, total = load_floats(scores, 0), splat(np.float32(0))
    for at in range(LANES, seen * LANES, LANES):
        top = maximum(load_floats(scores, at), top)
    for at in range(0, seen * LANES, LANES):
        e = decay(load_floats(scores, at) - top)
        store(scores, at, e)
        total = total + e
    return total


@serial
def _mix(scores, v, width, seen, mixed):
    """mixed[j] = the sum of scores[s] * v[s, j], ROWS numbers j at a time."""
    for first in range(0, width, ROWS):
        j = min(first, width - ROWS)
        sums = zero_block()
        for s in range(seen):
            sums = add_products(sums, load_floats(scores, s * LANES), v, s * width + j, 1)
        store_block(mixed, j * LANES, LANES, sums)


@serial
def _slopes(p, share, seen, gp):
    """p * (gp - sum(p * gp)) in place of gp, p here being p times share."""
    a, b = splat(np.float32(0)), splat(np.float32(0))
    for at in range(0, seen * LANES, 2 * LANES):  # two sums, so that an addition does not wait for the one before
        a = fma(load_floats(p, at), load_floats(gp, at), a)
        b = fma(load_floats(p, at + LANES), load_floats(gp, at + LANES), b)
    mean = (a + b) * share
    for at in range(0, seen * LANES, LANES):
        store(gp, at, load_floats(p, at) * (load_floats(gp, at) - mean))


@serial
def _add_outer(scores, rows, wide, seen, sums):
    """sums[s] += the sum over queries n of scores[s, n] * rows[n]."""
    for s in range(0, seen, ROWS):
        for j in range(0, wide, LANES):
            block = load_block(sums, s * wide + j, wide)
            for n in range(LANES):
                block = add_products(block, load_floats(rows, n * wide + j), scores, s * LANES + n, LANES)
            store_block(sums, s * wide + j, wide, block)
