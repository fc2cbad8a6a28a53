"""Rotary position embedding, with the pairs of a head in its two halves."""

import numpy as np

from refq.ops import arguments


def rope_frequencies(head_dim, theta, scaling=None):
    """The angle a position of each rotary pair.

    f[i] = theta ** (-2 i / head_dim), i = 0 .. head_dim / 2 - 1
    llama3: turns = original * f / (2 pi), s = clip((turns - low) / (high - low), 0, 1);
            f becomes s * f + (1 - s) * f / factor

    Parameters
        head_dim: int, even.
        theta: float above 0, the base.
        scaling: None, or {"rope_type": "llama3", "factor", "low_freq_factor", "high_freq_factor",
            "original_max_position_embeddings"}.
    Returns
        frequencies: float64, (head_dim / 2,), radians a position.
    Raises
        ShapeError: head_dim is not even.
        GridError: theta or a number of scaling breaks its rule, or the rope_type is another.

    >>> rope_frequencies(4, 10000.0)
    array([1.  , 0.01])

    Source: Su et al. 2021 (2104.09864), section 3.2.2; llama3: Grattafiori et al. 2024 (2407.21783) and its released
        code, read in transformers.
    Spec: rope_frequencies
    """
    head_dim, theta, scaling = arguments.rope_frequencies(head_dim, theta, scaling)
    f = theta ** -(np.arange(0, head_dim, 2) / head_dim)
    if scaling is None:
        return f
    factor, low, high, original = (scaling[key] for key in arguments.LLAMA3)
    turns = original * f / (2 * np.pi)  # full turns in the original context
    s = np.clip((turns - low) / (high - low), 0, 1)
    return s * f + (1 - s) * f / factor


def rope(x, positions, frequencies):
    """Rotate each pair (x[i], x[i + d/2]) by its angle: position times frequency.

    y[i]       = x[i] * cos a - x[i + d/2] * sin a
    y[i + d/2] = x[i + d/2] * cos a + x[i] * sin a,     a = positions * frequencies[i]

    Parameters
        x: float32 (or float64), (..., d), d even: queries or keys, (..., T, d).
        positions: integers that broadcast to (...); for (..., T, d) the T positions.
        frequencies: float64, (d / 2,), from rope_frequencies.
    Returns
        y: shape and dtype of x. Angles, cosines and sines are float64, rounded once to the dtype of x.
    Raises
        ShapeError: the shapes do not fit.

    >>> rope(np.float32([[1, 0], [1, 0]]), np.array([0, 1]), np.array([np.pi / 2])).round(6)
    array([[1., 0.],
           [0., 1.]], dtype=float32)

    Source: Su et al. 2021 (2104.09864), equation 34, with the pairs of the Hugging Face layout.
    Spec: rope
    """
    return _rotated(*arguments.rope(x, positions, frequencies))


def rope_vjp(g, x, positions, frequencies):
    """Gradient of rope with respect to x: the rotation back.

    gx = rope(g, -positions, frequencies)

    Parameters
        g: shape and dtype of x.
        x, positions, frequencies: as rope takes them.
    Returns
        gx: shape and dtype of x.
    Raises
        as rope; ShapeError if g has another shape than x.

    >>> rope_vjp(np.float32([[1, 0]]), np.float32([[5, 5]]), np.array([1]), np.array([np.pi / 2])).round(6)
    array([[ 0., -1.]], dtype=float32)

    Source: the transpose of a rotation is its inverse.
    Spec: rope_vjp
    """
    x, positions, frequencies = arguments.rope(x, positions, frequencies)
    return _rotated(arguments.incoming(g, x, x.shape), positions, -frequencies)


def _rotated(x, positions, frequencies):
    angles = positions[..., None] * frequencies
    cos, sin = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
