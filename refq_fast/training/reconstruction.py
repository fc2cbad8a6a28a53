"""Twins of refq.training.reconstruction: the same page, with the operations of this package."""

import refq_fast
from refq.training import reconstruction


def reconstruction_gradients(params, batch, config, recipe, ops=None):
    """Twin of refq.reconstruction_gradients.

    As fast as the operations.
    Spec: reconstruction_gradients
    """
    return reconstruction.reconstruction_gradients(params, batch, config, recipe, ops or refq_fast)


def reconstruction_step(params, state, batch, config, recipe, ops=None):
    """Twin of refq.reconstruction_step.

    As fast as the operations.
    Spec: reconstruction_step
    """
    return reconstruction.reconstruction_step(params, state, batch, config, recipe, ops or refq_fast)
