"""Exact rewrites that make a layer easier to quantize, and the choices they are made with."""

from refq.transforms.disassembly import channel_splits

__all__ = [
    "channel_splits",
]
