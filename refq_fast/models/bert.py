"""Twin of refq.models.bert: the same page, with the operations of this package."""

import refq_fast
from refq.models import bert


def bert_forward(params, tokens, mask, config, ops=None, types=None):
    """Twin of refq.bert_forward.

    As fast as the operations.
    Spec: bert_forward
    """
    return bert.bert_forward(params, tokens, mask, config, ops or refq_fast, types)
