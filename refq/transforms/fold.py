"""Shift and scale of channels, moved from the activations between two layers into the layers themselves."""

import numpy as np

from refq.transforms import arguments_scales as arguments


def fold(previous, following, scale, shift=None):
    """Make the channels between two layers (x - shift) / scale, and leave what follows them as it is.

    previous: weight / scale, (bias - shift) / scale;  following: weight * scale, bias + weight @ shift

    Parameters
        previous: dict, "weight" (channels,), the gain of a norm, or (channels, in); "bias" (channels,) if it has one.
        following: list of dicts, "weight" (out, channels) and "bias" (out,) if it has one: all that read the channels.
        scale: (channels,), finite, not 0.
        shift: (channels,), finite; None for none. Given, every layer has a bias afterwards.
    Returns
        (previous, following): the same form and dtype, new arrays.
    Raises
        GridError: a scale of 0 or not finite.
        NonFiniteError: shift holds NaN or infinity.
        ShapeError: the shapes do not fit, or a layer has anything but weight and bias.

    >>> norm, linear = {"weight": np.float32([4, 3])}, {"weight": np.float32([[1, 1]])}
    >>> fold(norm, [linear], np.float32([2, 1]))
    ({'weight': array([2., 3.], dtype=float32)}, [{'weight': array([[2., 1.]], dtype=float32)}])

    Source: what SmoothQuant (2211.10438), AWQ (2306.00978) and Outlier Suppression+ (2304.09145) share.
    Spec: fold
    """
    previous, following, scale, shift = arguments.folded(previous, following, scale, shift)
    before = {"weight": previous["weight"] / scale.reshape(-1, *[1] * (previous["weight"].ndim - 1))}
    if shift is not None or "bias" in previous:
        before["bias"] = (previous.get("bias", np.zeros_like(scale)) - (0 if shift is None else shift)) / scale
    return before, [_after(layer, scale, shift) for layer in following]


def _after(layer, scale, shift):
    after = layer | {"weight": layer["weight"] * scale}
    if shift is not None:
        moved = layer["weight"] @ shift
        after["bias"] = layer["bias"] + moved if "bias" in layer else moved
    return after
