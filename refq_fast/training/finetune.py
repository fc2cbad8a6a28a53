"""Twins of refq.training.finetune: the same page, with the operations of this package."""

import refq_fast
from refq.training import finetune


def finetune_gradients(params, batch, config, recipe, ops=None):
    """Twin of refq.finetune_gradients.

    As fast as the operations.
    Spec: finetune_gradients
    """
    return finetune.finetune_gradients(params, batch, config, recipe, ops or refq_fast)


def finetune_step(params, state, batch, config, recipe, ops=None):
    """Twin of refq.finetune_step.

    As fast as the operations.
    Spec: finetune_step
    """
    return finetune.finetune_step(params, state, batch, config, recipe, ops or refq_fast)
