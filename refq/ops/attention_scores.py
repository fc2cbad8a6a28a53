"""What attention weighs by, before its softmax."""

import numpy as np

from refq.ops import arguments


def attention_scores(q, k):
    """How well each query fits each key that it may see.

    scores = q k^T / sqrt(d) where s <= S - T + t, else -infinity: the queries are the last T of S positions

    Parameters
        q: float32 (or float64), (B, K, R, T, d): R queries share each of the K key/value heads.
        k: dtype of q, (B, K, S, d), S >= T.
    Returns
        scores: (B, K, R, T, S), dtype of q.
    Raises
        ShapeError: the shapes do not fit.

    >>> q, k = np.ones((1, 1, 1, 2, 4)), np.ones((1, 1, 2, 4))
    >>> attention_scores(q, k)[0, 0, 0]
    array([[  2., -inf],
           [  2.,   2.]])

    Source: Vaswani et al. 2017 (1706.03762), equation 1.
    Spec: attention_scores
    """
    q, k = arguments.attention_scores(q, k)
    scores = q @ k[:, :, None].swapaxes(-1, -2) * _scale(q)
    return np.where(_future(q, k), q.dtype.type(-np.inf), scores)


def attention_scores_vjp(g, q, k):
    """Gradients of attention_scores.

    gq = g k / sqrt(d);  gk = g^T q / sqrt(d), summed over the R queries that share a head;  g is 0 in the future

    Parameters
        g: (B, K, R, T, S), dtype of q.
        q, k: as attention_scores takes them.
    Returns
        (gq, gk): shapes of q and k.
    Raises
        as attention_scores; ShapeError if g has another shape than scores.

    >>> q, k = np.ones((1, 1, 1, 1, 1)), np.full((1, 1, 1, 1), 3.0)
    >>> [part.item() for part in attention_scores_vjp(np.full((1, 1, 1, 1, 1), 2.0), q, k)]
    [6.0, 2.0]

    Source: derivative of attention_scores.
    Spec: attention_scores_vjp
    """
    q, k = arguments.attention_scores(q, k)
    g = arguments.incoming(g, q, (*q.shape[:-1], k.shape[-2]))
    g = np.where(_future(q, k), q.dtype.type(0), g * _scale(q))
    return g @ k[:, :, None], (g.swapaxes(-1, -2) @ q).sum(axis=2)


def _future(q, k):
    """(T, S): keys that a query does not see."""
    T, S = q.shape[-2], k.shape[-2]
    return np.arange(S) > np.arange(S - T, S)[:, None]


def _scale(q):
    return q.dtype.type(q.shape[-1] ** -0.5)
