"""Rows of a table: tokens to vectors."""

import numpy as np

from refq.ops import arguments


def embed(tokens, weight):
    """Look up the vector of each token.

    x[..., :] = weight[tokens[...], :]

    Parameters
        tokens: integers of any shape, 0..V-1.
        weight: float32 (or float64), (V, D).
    Returns
        x: (..., D), dtype of weight.
    Raises
        ShapeError: a token that is not a row of weight.

    >>> embed(np.array([1, 0]), np.float32([[1, 2], [3, 4]]))
    array([[3., 4.],
           [1., 2.]], dtype=float32)

    Source: definition.
    Spec: embed
    """
    tokens, weight = arguments.embed(tokens, weight)
    return weight[tokens]


def embed_vjp(g, tokens, weight):
    """Gradient of embed with respect to weight.

    gweight[v, :] = sum of g[..., :] over the places where tokens = v

    Parameters
        g: (..., D), dtype of weight.
        tokens, weight: as embed takes them.
    Returns
        gweight: shape and dtype of weight.
    Raises
        as embed; ShapeError if g has another shape than the result of embed.

    >>> embed_vjp(np.float32([[1], [2], [4]]), np.array([0, 1, 0]), np.float32([[7], [7]]))
    array([[5.],
           [2.]], dtype=float32)

    Source: definition.
    Spec: embed_vjp
    """
    tokens, weight = arguments.embed(tokens, weight)
    g = arguments.incoming(g, weight, (*tokens.shape, weight.shape[1]))
    gweight = np.zeros_like(weight)
    np.add.at(gweight, tokens, g)  # a plain gweight[tokens] += g counts a repeated token once
    return gweight
