"""From one loss a position to one number: what is left out, and what the sum is divided by."""

import numpy as np

from refq.training import arguments_losses as arguments


def reduce_loss(losses, mask, reduction="token_mean"):
    """Masked sum of losses over a count.

    loss = sum of losses where mask / count,  count = the True in mask (token_mean) or the first axis (batchmean)

    Parameters
        losses: float32 (or float64), any shape, mostly (B, T).
        mask: bool, shape of losses; a loss where it is False does not count, not even an infinite one.
        reduction: "token_mean" or "batchmean".
    Returns
        loss: (), dtype of losses.
    Raises
        GridError: reduction; ShapeError: mask of another shape, or nothing to average.

    >>> losses, mask = np.float32([[1, 2, 3], [4, 9, 9]]), np.array([[True, True, True], [True, False, False]])
    >>> float(reduce_loss(losses, mask)), float(reduce_loss(losses, mask, "batchmean"))
    (2.5, 5.0)

    Source: batchmean: torch.nn.KLDivLoss, which sums over positions; token_mean: torchtune.
    Spec: reduce_loss
    """
    losses, mask, count = arguments.reduction(losses, mask, reduction)
    return np.where(mask, losses, losses.dtype.type(0)).sum() / count


def reduce_loss_vjp(g, losses, mask, reduction="token_mean"):
    """Gradient of reduce_loss with respect to losses.

    glosses = g / count where mask, else 0

    Parameters
        g: a number, dtype of losses.
        losses, mask, reduction: as reduce_loss takes them.
    Returns
        glosses: shape and dtype of losses.
    Raises
        as reduce_loss; ShapeError if g has an axis.

    >>> reduce_loss_vjp(np.float32(2), np.float32([[7, 7, 7]]), np.array([[True, False, True]]))
    array([[1., 0., 1.]], dtype=float32)

    Source: derivative of reduce_loss.
    Spec: reduce_loss_vjp
    """
    losses, mask, count = arguments.reduction(losses, mask, reduction)
    g = arguments.scalar(g, losses)
    return np.where(mask, g / count, losses.dtype.type(0))
