"""The loss of a language model, position by position."""

import numpy as np

from refq.ops import arguments
from refq.ops.softmax import log_softmax, softmax


def cross_entropy(logits, targets):
    """Negative log-probability of each target.

    loss = -log_softmax(logits)[targets]

    Parameters
        logits: float32 (or float64), (..., V).
        targets: integers, (...), 0..V-1.
    Returns
        loss: (...), dtype of logits, nats a position; not reduced: mean, sum and mask belong to the caller.
    Raises
        ShapeError: shapes that do not fit, or a target outside 0..V-1.

    >>> cross_entropy(np.float32([[0, -200]]), np.array([1]))
    array([200.], dtype=float32)

    Source: definition.
    Spec: cross_entropy
    """
    logits, targets = arguments.cross_entropy(logits, targets)
    return -np.take_along_axis(log_softmax(logits), targets[..., None], axis=-1)[..., 0]


def cross_entropy_vjp(g, logits, targets):
    """Gradient of cross_entropy with respect to logits.

    glogits = g * (softmax(logits) - onehot(targets))

    Parameters
        g: (...), dtype of logits.
        logits, targets: as cross_entropy takes them.
    Returns
        glogits: shape and dtype of logits.
    Raises
        as cross_entropy; ShapeError if g has another shape than targets.

    >>> cross_entropy_vjp(np.float32([2]), np.float32([[0, 0]]), np.array([1]))
    array([[ 1., -1.]], dtype=float32)

    Source: derivative of cross_entropy.
    Spec: cross_entropy_vjp
    """
    logits, targets = arguments.cross_entropy(logits, targets)
    g = arguments.incoming(g, logits, targets.shape)
    onehot = targets[..., None] == np.arange(logits.shape[-1])
    return g[..., None] * (softmax(logits) - onehot.astype(logits.dtype))
