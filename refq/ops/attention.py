"""Causal attention, grouped-query by shapes: R queries share each of the K key/value heads, nothing is repeated."""

import numpy as np

from refq.ops import arguments
from refq.ops.softmax import softmax, softmax_vjp


def causal_attention(q, k, v):
    """Each query looks at the keys of its own and all earlier positions.

    y = softmax(q k^T / sqrt(d)) v, over the keys s <= S - T + t: the queries are the last T of S positions

    Parameters
        q: float32 (or float64), (B, K, R, T, d).
        k, v: dtype of q, (B, K, S, d), S >= T.
    Returns
        y: shape and dtype of q.
    Raises
        ShapeError: the shapes do not fit.

    >>> q, k, v = np.zeros((1, 1, 1, 2, 1)), np.zeros((1, 1, 2, 1)), np.array([[[[2.0], [4.0]]]])
    >>> causal_attention(q, k, v).ravel()
    array([2., 3.])

    Source: Vaswani et al. 2017 (1706.03762), equation 1; Ainslie et al. 2023 (2305.13245) for the shared heads.
    Spec: causal_attention
    """
    q, k, v = arguments.causal_attention(q, k, v)
    return softmax(_scores(q, k)) @ v[:, :, None]


def causal_attention_vjp(g, q, k, v):
    """Gradients of causal_attention.

    p = softmax(scores);  gv = p^T g;  gscores = softmax_vjp(g v^T, scores) / sqrt(d);  gq = gscores k;
    gk = gscores^T q;  gk and gv are summed over the R queries that share a head

    Parameters
        g: shape and dtype of q.
        q, k, v: as causal_attention takes them.
    Returns
        (gq, gk, gv): shapes of q, k and v.
    Raises
        as causal_attention; ShapeError if g has another shape than q.

    >>> q, k, v = np.zeros((1, 1, 1, 2, 1)), np.zeros((1, 1, 2, 1)), np.array([[[[2.0], [4.0]]]])
    >>> [part.ravel().tolist() for part in causal_attention_vjp(np.ones_like(q), q, k, v)]
    [[0.0, 0.0], [0.0, 0.0], [1.5, 0.5]]

    Source: derivative of causal_attention.
    Spec: causal_attention_vjp
    """
    q, k, v = arguments.causal_attention(q, k, v)
    g = arguments.incoming(g, q, q.shape)
    scores = _scores(q, k)
    gscores = softmax_vjp(g @ _turned(v[:, :, None]), scores) * _scale(q)
    gk = (_turned(gscores) @ q).sum(axis=2)
    gv = (_turned(softmax(scores)) @ g).sum(axis=2)
    return gscores @ k[:, :, None], gk, gv


def _scores(q, k):
    T, S = q.shape[-2], k.shape[-2]
    future = np.arange(S) > np.arange(S - T, S)[:, None]  # (T, S)
    scores = q @ _turned(k[:, :, None]) * _scale(q)  # (B, K, R, T, S)
    return np.where(future, q.dtype.type(-np.inf), scores)


def _scale(q):
    return q.dtype.type(q.shape[-1] ** -0.5)


def _turned(x):
    return x.swapaxes(-1, -2)
