"""Twins of refq.models.llama: the same page, with the operations of this package."""

import refq_fast
from refq.models import llama


def llama_forward(params, tokens, config, ops=None):
    """Twin of refq.llama_forward.

    As fast as the operations.
    Spec: llama_forward
    """
    return llama.llama_forward(params, tokens, config, ops or refq_fast)


def llama_decode(params, tokens, cache, config, ops=None):
    """Twin of refq.llama_decode.

    As fast as the operations.
    Spec: llama_decode
    """
    return llama.llama_decode(params, tokens, cache, config, ops or refq_fast)
