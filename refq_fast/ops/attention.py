"""Twins of refq.ops.attention: a few queries at a time, so that nothing of size T by S is ever stored."""

import numpy as np

from refq.ops import arguments
from refq.ops.attention import attention as attend_to_all
from refq.ops.attention import attention_vjp as attend_to_all_vjp
from refq.ops.attention import causal_attention as attend
from refq.ops.attention import causal_attention_vjp as attend_vjp
from refq_fast import attention_tiles, blas, threads
from refq_fast.simd import LANES, ROWS

PIECE = 2**22  # multiplications a task at least
QUERIES = 128  # at a time, where refq's formula computes


def causal_attention(q, k, v):
    """Twin of refq.causal_attention.

    Many float32 queries: a tile of them are the lanes of a vector. Otherwise refq's formula, by pieces.
    Spec: causal_attention
    """
    q, k, v = arguments.causal_attention(q, k, v)
    y = np.empty(q.shape, q.dtype)
    q, k, v, by_heads = *(_joined(x) for x in (q, k, v)), _joined(y)
    if _many(q):
        _tiled(q, k, v, _all_keys(k), True, by_heads)
    else:
        cuts = _cuts(q, k.shape[1])
        blas.each(lambda heads: _pieces(q[heads], k[heads], v[heads], by_heads[heads]), cuts)
    return y


def causal_attention_vjp(g, q, k, v):
    """Twin of refq.causal_attention_vjp.

    Key/value heads in several threads. Many float32 queries: the probabilities of a tile are computed again and used
    for all gradients while they are in the cache. Otherwise refq's formula, by pieces.
    Spec: causal_attention_vjp
    """
    q, k, v = arguments.causal_attention(q, k, v)
    g = arguments.incoming(g, q, q.shape)
    gradients = np.empty(q.shape, q.dtype), np.zeros(k.shape, k.dtype), np.zeros(v.shape, v.dtype)
    g, q, k, v, gq, gk, gv = (_joined(x) for x in (g, q, k, v, *gradients))
    if _many(q):
        _tiled_vjp(g, q, k, v, _all_keys(k), True, (gq, gk, gv))
    else:
        blas.each(lambda n: _pieces_vjp(g[n], q[n], k[n], v[n], gq[n], gk[n], gv[n]), _cuts(q, k.shape[1]))
    return gradients


def attention(q, k, v, mask):
    """Twin of refq.attention.

    Many float32 queries: as causal_attention, on the keys that are seen, put in front. Otherwise refq's formula.
    Spec: attention
    """
    q, k, v, mask = arguments.attention(q, k, v, mask)
    y, heads = np.zeros(q.shape, q.dtype), _joined(q)[:, None]
    if _many(heads):
        order, lengths = _seen_first(mask, q.shape[1])
        k, v = (_joined(_turned(_turned(x)[order])) for x in (k, v))
        _tiled(heads, k, v, lengths, False, _joined(y)[:, None])
    else:
        q, k, v = map(blas.laid_out, (q, k, v))

        def compute(n):
            y[n] = attend_to_all(q[n], k[n], v[n], mask[n])

        blas.each(compute, _cuts(q, k.shape[2]))
    return y


def attention_vjp(g, q, k, v, mask):
    """Twin of refq.attention_vjp.

    As attention.
    Spec: attention_vjp
    """
    q, k, v, mask = arguments.attention(q, k, v, mask)
    g = arguments.incoming(g, q, q.shape)
    gradients = gq, gk, gv = [np.zeros(x.shape, x.dtype) for x in (q, k, v)]
    heads = _joined(q)[:, None]
    if _many(heads):
        order, lengths = _seen_first(mask, q.shape[1])
        k, v = (_turned(_turned(x)[order]) for x in (k, v))
        parts = np.zeros(k.shape, k.dtype), np.zeros(v.shape, v.dtype)
        g, by_heads = (_joined(x)[:, None] for x in (g, gq))
        _tiled_vjp(g, heads, _joined(k), _joined(v), lengths, False, (by_heads, *map(_joined, parts)))
        for whole, part in zip((gk, gv), parts, strict=True):
            _turned(whole)[order] = _turned(part)
    else:
        g, q, k, v = map(blas.laid_out, (g, q, k, v))

        def compute(n):
            gq[n], gk[n], gv[n] = attend_to_all_vjp(g[n], q[n], k[n], v[n], mask[n])

        blas.each(compute, _cuts(q, k.shape[2]))
    return tuple(gradients)


def _tiled(q, k, v, lengths, causal, y):
    k, v = _padded(k), _padded(v)
    tiles = len(q) * _tiles(q)
    pieces = threads.cuts(tiles, min(tiles, k.size * _tiles(q) * LANES // PIECE))
    threads.each(lambda cut: attention_tiles.attend(q, k, v, lengths, causal, y, cut.start, cut.stop), pieces)


def _tiled_vjp(g, q, k, v, lengths, causal, gradients):
    k, v = _padded(k), _padded(v)

    def compute(cut):
        parts = (part[cut] for part in gradients)
        attention_tiles.attend_vjp(g[cut], q[cut], k[cut], v[cut], lengths[cut], causal, *parts)

    threads.each(compute, threads.cuts(len(q), min(len(q), k.size * _tiles(q) * LANES // PIECE)))


def _all_keys(k):
    """The number of keys of each head."""
    return np.full(len(k), k.shape[1])


def _seen_first(mask, H):
    """Places of the keys in (B, S), those that are seen in front, in order; and how many each head sees."""
    lengths = mask.sum(axis=1)
    order = np.argsort(~mask, axis=1, kind="stable")[:, : max(1, lengths.max(initial=0))]
    return (np.arange(len(mask))[:, None], order), np.repeat(lengths, H)


def _turned(x):
    """(B, H, S, d) as (B, S, H, d), and back."""
    return x.swapaxes(1, 2)


def _joined(x):
    """(B, K, ...) to (B K, ...)."""
    return blas.laid_out(x).reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def _many(q):
    return q.dtype == np.float32 and 2 * q.shape[1] * q.shape[2] > LANES


def _tiles(q):
    """Tiles of a head."""
    return -(-q.shape[1] * q.shape[2] // LANES)


def _padded(x):
    """(heads, S, d), S whole blocks of keys, d at least ROWS."""
    _, S, d = x.shape
    return np.pad(x, [(0, 0), (0, -S % ROWS), (0, max(0, ROWS - d))]) if S % ROWS or d < ROWS else x


def _cuts(q, S):
    """Some heads a task."""
    return threads.cuts(len(q), min(len(q), q[:, :, :QUERIES].size * S // PIECE))


def _pieces(q, k, v, y):
    for queries, seen in _windows(q.shape[2], k.shape[1]):
        y[:, :, queries] = attend(q[None, :, :, queries], k[None, :, seen], v[None, :, seen])[0]


def _pieces_vjp(g, q, k, v, gq, gk, gv):
    for queries, seen in _windows(q.shape[2], k.shape[1]):
        now = g[None, :, :, queries], q[None, :, :, queries], k[None, :, seen], v[None, :, seen]
        parts = attend_vjp(*now)
        gq[:, :, queries] = parts[0][0]
        gk[:, seen] += parts[1][0]
        gv[:, seen] += parts[2][0]


def _windows(T, S):
    """Runs of queries, and the keys that they see: the queries are the last of these again."""
    for first in range(0, T, QUERIES):
        last = min(first + QUERIES, T)
        yield slice(first, last), slice(0, S - T + last)
