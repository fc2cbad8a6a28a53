"""Granularity as a view: cut an axis into groups, and put it back."""

import math

import numpy as np

from refq import checks
from refq.errors import DtypeError, ShapeError


def to_groups(x, group_size=None, axis=-1):
    """Cut an axis into groups of `group_size` neighbours; everything in a group shares one scale.

    group, along the inputs of w (out, in):   to_groups(w, 32)          (out, in / 32, 32)
    channel, one scale an output:             to_groups(w)              (out, 1, in)
    token, one scale a vector of x (B, T, D): to_groups(x)              (B, T, 1, D)
    tensor, one scale for all:                to_groups(w, axis=None)   (1, out * in)

    Parameters
        x: array of any dtype.
        group_size: int, divides the length of the axis; None for the whole axis.
        axis: the axis that is cut; it moves to the end. None: x is flattened first (C order).
    Returns
        groups: (..., n_groups, group_size), the dtype of x.
    Raises
        GroupSizeError: group_size does not divide the axis.
        ShapeError: x has no such axis.

    >>> to_groups(np.arange(6).reshape(1, 6), 3).tolist()
    [[[0, 1, 2], [3, 4, 5]]]

    Source: definition.
    Spec: to_groups
    """
    x = np.asarray(x)
    if axis is None:
        x, axis = x.reshape(-1), 0
    _check_axis(axis, x.ndim)
    x = np.moveaxis(x, axis, -1)
    length = x.shape[-1]
    size = length if group_size is None else checks.group_size(group_size, axis, length)
    return x.reshape(*x.shape[:-1], length // size if size else 1, size)


def from_groups(groups, shape, axis=-1):
    """Undo to_groups: groups back to an array of `shape`.

    from_groups(to_groups(x, group_size, axis), x.shape, axis) = x

    Parameters
        groups: (..., n_groups, group_size), any dtype.
        shape: the shape of the array that was grouped.
        axis: the axis that was cut, or None, as given to to_groups.
    Returns
        x: array of `shape`, the dtype of groups.
    Raises
        ShapeError: groups does not belong to shape and axis.

    >>> from_groups(np.array([[[0, 1, 2], [3, 4, 5]]]), (1, 6)).tolist()
    [[0, 1, 2, 3, 4, 5]]

    Source: definition.
    Spec: from_groups
    """
    groups, shape = np.asarray(groups), _as_shape(shape)
    cut, lengths = (0, (math.prod(shape),)) if axis is None else (axis, shape)
    _check_axis(cut, len(lengths))
    cut %= len(lengths)
    others, length = lengths[:cut] + lengths[cut + 1 :], lengths[cut]
    if groups.ndim < 2 or groups.shape[:-2] != others or groups.shape[-2] * groups.shape[-1] != length:
        raise ShapeError(f"groups of shape {groups.shape} do not come from shape {shape} cut along axis {axis}")
    return np.moveaxis(groups.reshape(*others, length), -1, cut).reshape(shape)


def _as_shape(shape):
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise DtypeError(f"shape is {shape!r}; a sequence of integers of at least 0 is needed")
    return tuple(int(n) for n in shape)


def _check_axis(axis, ndim):
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise DtypeError(f"axis is {type(axis).__name__}; an integer or None is needed")
    if not -ndim <= axis < ndim:
        raise ShapeError(f"axis {axis} of an array with {ndim} axes; {-ndim}..{ndim - 1} are there")
