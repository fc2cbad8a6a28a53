"""Twins of refq.ops.attention: a few queries at a time, so that nothing of size T by S is ever stored."""

import numpy as np

from refq.ops import arguments
from refq.ops.attention import causal_attention as attend
from refq.ops.attention import causal_attention_vjp as attend_vjp
from refq_fast import blas, threads
from refq_fast.exponential import exp
from refq_fast.kernel import serial
from refq_fast.simd import LANES, ROWS, add_products, load_floats, store_block, zero_block

PIECE = 2**20  # multiplications a task at least
QUERIES = 128  # at a time, where refq's formula computes


def causal_attention(q, k, v):
    """Twin of refq.causal_attention.

    Many float32 queries: a tile of them are the lanes of a vector, their scores its rows. Otherwise refq's formula, by
    pieces.
    Spec: causal_attention
    """
    q, k, v = arguments.causal_attention(q, k, v)
    R, T, S = q.shape[2], q.shape[3], k.shape[2]
    y = np.empty(q.shape, q.dtype)
    q, k, v, by_heads = *(_joined(x) for x in (q, k, v)), _joined(y)
    if q.dtype == np.float32 and 2 * R * T > LANES:
        keys, values = _padded(k), _padded(v)
        tiles = len(q) * -(-R * T // LANES)
        pieces = threads.cuts(tiles, min(tiles, keys.size * -(-R * T // LANES) * LANES // PIECE))
        threads.each(lambda cut: _attend(q, keys, values, S, by_heads, cut.start, cut.stop), pieces)
    else:
        blas.each(lambda heads: _pieces(q[heads], k[heads], v[heads], by_heads[heads]), _cuts(q, S))
    return y


def causal_attention_vjp(g, q, k, v):
    """Twin of refq.causal_attention_vjp.

    refq's formula, by pieces; key/value heads in several threads.
    Spec: causal_attention_vjp
    """
    q, k, v = arguments.causal_attention(q, k, v)
    g = arguments.incoming(g, q, q.shape)
    gradients = np.empty(q.shape, q.dtype), np.zeros(k.shape, k.dtype), np.zeros(v.shape, v.dtype)
    g, q, k, v, gq, gk, gv = (_joined(x) for x in (g, q, k, v, *gradients))

    def compute(heads):
        for queries, seen in _windows(q.shape[2], k.shape[1]):
            now = np.s_[heads, :, queries], np.s_[heads, :, queries], np.s_[heads, seen], np.s_[heads, seen]
            parts = attend_vjp(*(x[at][None] for x, at in zip((g, q, k, v), now, strict=True)))
            gq[now[0]] = parts[0][0]
            gk[now[2]] += parts[1][0]
            gv[now[3]] += parts[2][0]

    blas.each(compute, _cuts(q, k.shape[1]))
    return gradients


def _joined(x):
    """(B, K, ...) to (B K, ...)."""
    return np.ascontiguousarray(x).reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def _cuts(q, S):
    """Some heads a task."""
    return threads.cuts(len(q), min(len(q), q[:, :, :QUERIES].size * S // PIECE))


def _pieces(q, k, v, y):
    for queries, seen in _windows(q.shape[2], k.shape[1]):
        y[:, :, queries] = attend(q[None, :, :, queries], k[None, :, seen], v[None, :, seen])[0]


def _windows(T, S):
    """Runs of queries, and the keys that they see: the queries are the last of these again."""
    for first in range(0, T, QUERIES):
        last = min(first + QUERIES, T)
        yield slice(first, last), slice(0, S - T + last)


def _padded(x):
    """(heads, S, d), S and d at least ROWS: a block has so many keys, or numbers of a value."""
    short = [(0, 0), *((0, max(0, ROWS - length)) for length in x.shape[1:])]
    return np.pad(x, short) if min(x.shape[1:]) < ROWS else x


@serial
def _attend(q, k, v, S, y, first, last):
    """Tiles first..last-1; the queries of a head stand in the order of their positions, R of each."""
    R, T, d = q.shape[1:]
    width, tiles = k.shape[2], (R * T + LANES - 1) // LANES
    queries, mixed = np.empty(width * LANES, np.float32), np.empty(width * LANES, np.float32)
    top, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    scores = np.empty(k.shape[1] * LANES, np.float32)
    for tile in range(first, last):
        head, start = tile // tiles, tile % tiles * LANES
        stop = min(start + LANES, R * T)
        _gather(q[head], start, stop, queries)
        seen = S - T + (stop - 1) // R + 1
        _score(queries, k[head].reshape(-1), width, seen, scores)
        for lane in range(stop - start):
            for s in range(S - T + (start + lane) // R + 1, seen):
                scores[s * LANES + lane] = -np.inf
        _exponentials(scores, seen, top, total)
        _mix(scores, v[head].reshape(-1), width, seen, mixed)
        for n in range(start, stop):
            for j in range(d):
                y[head, n % R, n // R, j] = mixed[j * LANES + n - start] / total[n - start]


@serial
def _gather(q, start, stop, queries):
    """Queries as columns, divided by sqrt(d)."""
    R, d = q.shape[0], q.shape[2]
    queries[:] = 0
    scale = np.float32(1 / np.sqrt(d))
    for n in range(start, stop):
        for j in range(d):
            queries[j * LANES + n - start] = q[n % R, n // R, j] * scale


@serial
def _score(queries, k, width, seen, scores):
    """scores[s] = the products of all queries with key s; the last block of keys may begin before its turn."""
    last = len(scores) // LANES - ROWS
    for turn in range(0, seen, ROWS):
        s = min(turn, last)
        sums = zero_block()
        for j in range(width):
            sums = add_products(sums, load_floats(queries, j * LANES), k, s * width + j, width)
        store_block(scores, s * LANES, LANES, sums)


@serial
def _exponentials(scores, seen, top, total):
    """Each lane's scores less their largest, to the power of e, and their sum."""
    top[:], total[:] = -np.inf, 0
    for s in range(seen):
        for lane in range(LANES):
            top[lane] = max(top[lane], scores[s * LANES + lane])
    for s in range(seen):
        for lane in range(LANES):
            e = exp(scores[s * LANES + lane] - top[lane])
            scores[s * LANES + lane] = e
            total[lane] += e


@serial
def _mix(scores, v, width, seen, mixed):
    """mixed[j] = the sum of scores[s] * v[s, j], ROWS numbers j at a time."""
    for turn in range(0, width, ROWS):
        j = min(turn, width - ROWS)
        sums = zero_block()
        for s in range(seen):
            sums = add_products(sums, load_floats(scores, s * LANES), v, s * width + j, 1)
        store_block(mixed, j * LANES, LANES, sums)
