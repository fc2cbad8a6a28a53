"""Twins of refq.training.step: the same page, with the operations of this package."""

import refq_fast
from refq.training import step


def kd_gradients(params, batch, config, recipe, ops=None):
    """Twin of refq.kd_gradients.

    As fast as the operations.
    Spec: kd_gradients
    """
    return step.kd_gradients(params, batch, config, recipe, ops or refq_fast)


def kd_step(params, state, batch, config, recipe, ops=None):
    """Twin of refq.kd_step.

    As fast as the operations.
    Spec: kd_step
    """
    return step.kd_step(params, state, batch, config, recipe, ops or refq_fast)
