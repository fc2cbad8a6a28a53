"""Attention: causal, R queries sharing each of the K key/value heads by shapes; and to all keys that are no padding."""

import numpy as np

from refq.ops import arguments
from refq.ops.attention_scores import attention_scores, attention_scores_vjp
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
    return softmax(attention_scores(q, k)) @ v[:, :, None]


def causal_attention_vjp(g, q, k, v):
    """Gradients of causal_attention.

    p = softmax(scores);  gv = p^T g, summed over the R queries that share a head;
    gq, gk = attention_scores_vjp(softmax_vjp(g v^T, scores))

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
    scores = attention_scores(q, k)
    gq, gk = attention_scores_vjp(softmax_vjp(g @ v[:, :, None].swapaxes(-1, -2), scores), q, k)
    gv = (softmax(scores).swapaxes(-1, -2) @ g).sum(axis=2)
    return gq, gk, gv


def attention(q, k, v, mask):
    """Each query looks at all keys that are no padding.

    y = softmax(q k^T / sqrt(d)) v, over the keys s with mask[s]; 0 where a sequence has none

    Parameters
        q: float32 (or float64), (B, H, T, d).
        k, v: dtype of q, (B, H, S, d).
        mask: bool, (B, S): which keys may be seen.
    Returns
        y: shape and dtype of q.
    Raises
        ShapeError: the shapes do not fit.
        DtypeError: mask is not bool.

    >>> q, k, v = np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 3, 1)), np.array([[[[2.0], [4.0], [9.0]]]])
    >>> attention(q, k, v, np.array([[True, True, False]])).ravel()
    array([3.])

    Source: Vaswani et al. 2017 (1706.03762), equation 1; Devlin et al. 2018 (1810.04805) for the padding.
    Spec: attention
    """
    q, k, v, mask = arguments.attention(q, k, v, mask)
    return _probabilities(q, k, mask) @ v


def attention_vjp(g, q, k, v, mask):
    """Gradients of attention.

    p as in attention;  gv = p^T g;  gp = g v^T;  gscores = p * (gp - sum(p * gp)) / sqrt(d);
    gq = gscores k;  gk = gscores^T q

    Parameters
        g: shape and dtype of q.
        q, k, v, mask: as attention takes them.
    Returns
        (gq, gk, gv): shapes of q, k and v.
    Raises
        as attention; ShapeError if g has another shape than q.

    >>> q, k, v = np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 3, 1)), np.array([[[[2.0], [4.0], [9.0]]]])
    >>> found = attention_vjp(np.ones_like(q), q, k, v, np.array([[True, True, False]]))
    >>> [part.ravel().tolist() for part in found]
    [[0.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.0]]

    Source: derivative of attention.
    Spec: attention_vjp
    """
    q, k, v, mask = arguments.attention(q, k, v, mask)
    g = arguments.incoming(g, q, q.shape)
    p, gp = _probabilities(q, k, mask), g @ v.swapaxes(-1, -2)
    gscores = p * (gp - (p * gp).sum(axis=-1, keepdims=True)) * _scale(q)
    return gscores @ k, gscores.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g


def _probabilities(q, k, mask):
    """(B, H, T, S): 0 for keys that are not seen, even where none is."""
    seen = mask[:, None, None]
    scores = np.where(seen, q @ k.swapaxes(-1, -2) * _scale(q), q.dtype.type(-np.inf))
    some = seen.any(axis=-1, keepdims=True)
    return np.where(seen, softmax(np.where(some, scores, q.dtype.type(0))), q.dtype.type(0))


def _scale(q):
    return q.dtype.type(q.shape[-1] ** -0.5)
