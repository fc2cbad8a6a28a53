"""The l1 norm of the gradient: what rounding can cost to first order, and how to train it down."""

import math

import numpy as np

from refq import checks
from refq.ops.arguments import positive
from refq.training import arguments_transitions as arguments

SHARE = {"float32": 1e-3, "float64": 1e-5}  # of the size of a weight: beyond rounding, within the curvature


def gradient_l1(g):
    """The sum of the sizes of a gradient.

    penalty = sum |g|, in float64

    Parameters
        g: float32 (or float64), any shape, finite.
    Returns
        penalty: float, at least 0.
    Raises
        NonFiniteError: g holds NaN or infinity.

    >>> gradient_l1(np.float32([3, -4]))
    7.0

    Source: Gradient l1 Regularization for Quantization Robustness (2002.07520); formula from summaries.
    Spec: gradient_l1
    """
    g = checks.finite("g", checks.as_float("g", g))
    return float(np.abs(g.reshape(-1), dtype=np.float64).sum())


def first_order_bound(g, scale):
    """How much the loss can rise, to first order, if every weight is rounded to its grid.

    bound = sum |g| * scale / 2, in float64

    Parameters
        g: float32 (or float64), gradient of the loss, any shape, finite.
        scale: dtype of g, broadcasts to g; finite, not 0.
    Returns
        bound: float, at least 0.
    Raises
        GridError: scale breaks its rule.
        NonFiniteError: g holds NaN or infinity.
        ShapeError: scale does not broadcast to g.

    >>> first_order_bound(np.float32([3, -4]), 0.5)
    1.75

    Source: 2002.07520: the dual norm of a perturbation of at most half a step is the l1 norm; from summaries.
    Spec: first_order_bound
    """
    g = checks.finite("g", checks.as_float("g", g))
    sizes = np.abs(g, dtype=np.float64) * np.abs(checks.grid_scale(scale, g), dtype=np.float64)
    return float(np.ravel(sizes).sum() / 2)


def gradient_l1_epsilon(weights):
    """How far to move every weight for the difference of gradients: one number for a whole model.

    epsilon = share * sqrt(mean w**2);  share = 1e-3 in float32, 1e-5 in float64

    Parameters
        weights: dict, name -> float32 (or float64) array, finite, not all 0.
    Returns
        epsilon: float, above 0.
    Raises
        GridError: all weights are 0.
        NonFiniteError: a weight is NaN or infinite; names it.

    >>> gradient_l1_epsilon({"a": np.float32([1000, -1000]), "b": np.float32([[1000]])})
    1.0

    Source: our choice.
    Spec: gradient_l1_epsilon
    """
    weights = arguments.weights(weights)
    squares = sum(np.square(weights[name].reshape(-1), dtype=np.float64).sum() for name in sorted(weights))
    size = math.sqrt(squares / sum(w.size for w in weights.values()))
    return SHARE[str(next(iter(weights.values())).dtype)] * size


def gradient_l1_direction(g, epsilon):
    """The step along which the gradient is compared: epsilon upward where the gradient is positive.

    step = epsilon * sign(g), 0 where g is 0

    Parameters
        g: float32 (or float64), gradient, any shape, finite.
        epsilon: number above 0, one for all arrays of a model.
    Returns
        step: dtype and shape of g.
    Raises
        GridError: epsilon is not above 0.
        NonFiniteError: g holds NaN or infinity.

    >>> gradient_l1_direction(np.float32([3, 0, -4]), 0.5)
    array([ 0.5,  0. , -0.5], dtype=float32)

    Source: our choice: the slope of the l1 norm is the Hessian times sign(g).
    Spec: gradient_l1_direction
    """
    g = checks.finite("g", checks.as_float("g", g))
    return positive("epsilon", epsilon) * np.sign(g)


def gradient_l1_gradient(plus, minus, epsilon, strength):
    """The gradient of strength * sum |g|, from gradients on both sides of the weights.

    gradient = strength * (plus - minus) / (2 * epsilon)

    Parameters
        plus, minus: float32 (or float64), any shape: the gradients at w + step and w - step.
        epsilon: number above 0, that of gradient_l1_direction.
        strength: number, at least 0.
    Returns
        gradient: dtype and shape of plus; to be added to the gradient of the loss.
    Raises
        GridError: a number outside its range.
        ShapeError: shapes that differ.

    >>> gradient_l1_gradient(np.float32([3]), np.float32([1]), 0.5, 0.25)
    array([0.5], dtype=float32)

    Source: our choice: a central difference in place of a second differentiation.
    Spec: gradient_l1_gradient
    """
    plus, minus, epsilon, strength = arguments.differences(plus, minus, epsilon, strength)
    return strength / (2 * epsilon) * (plus - minus)
