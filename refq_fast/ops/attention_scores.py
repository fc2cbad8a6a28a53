"""Twins of refq.ops.attention_scores: refq's formula, some heads a task, each with a BLAS of one thread."""

import numpy as np

from refq.ops import arguments
from refq.ops.attention_scores import attention_scores as score
from refq.ops.attention_scores import attention_scores_vjp as score_vjp
from refq_fast import blas, threads


def attention_scores(q, k):
    """Twin of refq.attention_scores.

    Heads in several threads.
    Spec: attention_scores
    """
    q, k = arguments.attention_scores(q, k)
    scores = np.empty((*q.shape[:-1], k.shape[-2]), q.dtype)
    by_heads, q, k = (_heads(x) for x in (scores, q, k))

    def compute(cut):
        by_heads[cut] = score(q[None, cut], k[None, cut])[0]

    blas.each(compute, _cuts(q, k))
    return scores


def attention_scores_vjp(g, q, k):
    """Twin of refq.attention_scores_vjp.

    Heads in several threads.
    Spec: attention_scores_vjp
    """
    q, k = arguments.attention_scores(q, k)
    g = arguments.incoming(g, q, (*q.shape[:-1], k.shape[-2]))
    gradients = np.empty(q.shape, q.dtype), np.empty(k.shape, k.dtype)
    gq, gk, g, q, k = (_heads(x) for x in (*gradients, g, q, k))

    def compute(cut):
        gq[cut], gk[cut] = (part[0] for part in score_vjp(g[None, cut], q[None, cut], k[None, cut]))

    blas.each(compute, _cuts(q, k))
    return gradients


def _heads(x):
    """(B, K, ...) to (B K, ...)."""
    return blas.laid_out(x).reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def _cuts(q, k):
    """Some heads a task."""
    return threads.cuts(len(q), min(len(q), q.size * k.shape[1] // blas.PIECE))
