"""Optimizers: weights, gradient and state in, weights and state out."""

import math

import numpy as np

from refq.training import arguments_optimizers as arguments

SMALL = 1e-6  # added to the norm by torch's clip_grad_norm_


def sgd(w, g, velocity, learning_rate, momentum=0.9, weight_decay=0.0):
    """One step of gradient descent with momentum and coupled weight decay.

    velocity = momentum * velocity + g + weight_decay * w;  w = w - learning_rate * velocity

    Parameters
        w: float32 (or float64), any shape.
        g: gradient, dtype and shape of w, finite.
        velocity: dtype and shape of w; zeros before the first step.
        learning_rate: number, at least 0, finite in the dtype of w.
        momentum: number, 0 <= momentum < 1.
        weight_decay: number, like learning_rate; their product too.
    Returns
        w, velocity: after the step.
    Raises
        GridError: a number outside its range.
        NonFiniteError: g holds NaN or infinity.
        ShapeError: shapes that differ.

    >>> sgd(np.float32([1]), np.float32([1]), np.float32([2]), 0.5, 0.5)
    (array([0.], dtype=float32), array([2.], dtype=float32))

    Source: torch.optim.SGD, without dampening and Nesterov.
    Spec: sgd
    """
    w, g, velocity = arguments.with_state(w, g, "velocity", velocity)
    rate, decay = arguments.rates(learning_rate, weight_decay, w.dtype)
    velocity = arguments.below_1("momentum", momentum) * velocity + (g + decay * w)
    return w - rate * velocity, velocity


def adam(w, g, moments, step, learning_rate, weight_decay=0.0, betas=(0.9, 0.999), eps=1e-8):
    """One step of Adam with coupled weight decay: the decay is part of the gradient.

    g = g + weight_decay * w, then adamw without decay

    Parameters
        w, g, moments, step, learning_rate, weight_decay, betas, eps: as adamw takes them.
    Returns
        w, moments: after the step.
    Raises
        as adamw.

    >>> adam(np.float32([1]), np.float32([4]), np.zeros((2, 1), np.float32), 1, 0.5)[0]
    array([0.5], dtype=float32)

    Source: Kingma and Ba 2015 (1412.6980), algorithm 1; torch.optim.Adam.
    Spec: adam
    """
    w, g, moments = arguments.with_state(w, g, "moments", moments, (2,))
    rate, decay = arguments.rates(learning_rate, weight_decay, w.dtype)
    direction, moments = _direction(g + decay * w, moments, *arguments.adam(step, betas, eps, w.dtype))
    return w - rate * direction, moments


def adamw(w, g, moments, step, learning_rate, weight_decay=0.0, betas=(0.9, 0.999), eps=1e-8):
    """One step of Adam with decoupled weight decay: the weights shrink beside the step.

    m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g**2
    w = (1 - learning_rate * weight_decay) * w
        - learning_rate * m / (1 - beta1**step) / (sqrt(v / (1 - beta2**step)) + eps)

    Parameters
        w: float32 (or float64), any shape.
        g: gradient, dtype and shape of w, finite.
        moments: dtype of w, (2, *shape of w): m and v; zeros before the first step.
        step: int, 1..2**53; the first is 1.
        learning_rate: number, at least 0, finite in the dtype of w.
        weight_decay: number, like learning_rate; their product too.
        betas: two numbers, 0 <= beta < 1.
        eps: number, above 0 and finite in the dtype of w.
    Returns
        w, moments: after the step.
    Raises
        GridError: a number outside its range.
        NonFiniteError: g holds NaN or infinity.
        ShapeError: shapes that differ.

    >>> adamw(np.float32([1]), np.float32([4]), np.zeros((2, 1), np.float32), 1, 0.5, 0.5)[0]
    array([0.25], dtype=float32)

    Source: Loshchilov and Hutter 2019 (1711.05101), algorithm 2; decay times rate: torch.optim.AdamW.
    Spec: adamw
    """
    w, g, moments = arguments.with_state(w, g, "moments", moments, (2,))
    rate, decay = arguments.rates(learning_rate, weight_decay, w.dtype)
    direction, moments = _direction(g, moments, *arguments.adam(step, betas, eps, w.dtype))
    return (1 - rate * decay) * w - rate * direction, moments


def global_norm(gradients):
    """The norm of all gradients as one vector.

    norm = sqrt(sum g**2), in float64

    Parameters
        gradients: dict, name -> float32 (or float64) array, finite.
    Returns
        norm: float, at least 0.
    Raises
        NonFiniteError: a gradient holds NaN or infinity; names it.

    >>> global_norm({"a": np.float32([3]), "b": np.float32([[4]])})
    5.0

    Source: definition.
    Spec: global_norm
    """
    gradients = arguments.gradients(gradients)
    # ascending names and C order: the same bits whatever the order of the dict and the layout of the arrays
    squares = (np.square(gradients[name].reshape(-1), dtype=np.float64).sum() for name in sorted(gradients))
    return math.sqrt(sum(squares))


def clip_gradients(gradients, max_norm):
    """Gradients scaled down together where their norm exceeds max_norm.

    g = g * min(1, max_norm / (norm + 1e-6))

    Parameters
        gradients: dict, name -> float32 (or float64) array, finite.
        max_norm: number above 0; infinity clips nothing.
    Returns
        gradients: dict, the same names, shapes and dtypes.
        norm: float, the norm before.
    Raises
        GridError: max_norm is not above 0.
        NonFiniteError: a gradient holds NaN or infinity; names it.

    >>> clip_gradients({"a": np.float32([3]), "b": np.float32([4])}, 2.5)
    ({'a': array([1.4999998], dtype=float32), 'b': array([1.9999996], dtype=float32)}, 5.0)

    Source: torch.nn.utils.clip_grad_norm_; the idea is Pascanu et al. 2013 (1211.5063), section 3.2.
    Spec: clip_gradients
    """
    max_norm, norm = arguments.max_norm(max_norm), global_norm(gradients)
    factor = min(1.0, max_norm / (norm + SMALL))
    return {name: np.asarray(g) * factor for name, g in gradients.items()}, norm


def _direction(g, moments, step, betas, eps):
    """m_hat / (sqrt(v_hat) + eps), and the moments after g."""
    (beta1, beta2), (m, v) = betas, moments
    m = beta1 * m + (1 - beta1) * g
    with np.errstate(over="ignore"):  # g**2 may be infinite: that weight does not move
        v = beta2 * v + (1 - beta2) * (g * g)
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return m_hat / (np.sqrt(v_hat) + eps), np.stack([m, v])
