"""Twin of refq.analysis.signal_propagation: the same page, with the operations of this package."""

import refq_fast
from refq.analysis.signal_propagation import signal_propagation as reference


def signal_propagation(params, batch, config, recipe, ops=None):
    """Twin of refq.signal_propagation.

    As fast as the operations.
    Spec: signal_propagation
    """
    return reference(params, batch, config, recipe, ops or refq_fast)
