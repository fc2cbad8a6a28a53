"""What happened inside a model."""

from refq.analysis.signal_propagation import signal_propagation

__all__ = [
    "signal_propagation",
]
