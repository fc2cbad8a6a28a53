"""What passes through a forward page, observed from outside: hidden states and attention scores."""

from refq.ops.namespace import Replaced


def traced(ops):
    """A namespace like `ops` that remembers what the page gives it.

    Returns
        ops: the namespace.
        trace: dict that fills while the page runs: "hidden", the input of every rms_norm, that is the state before
            each attention, before each mlp, and before the head; "attention", (q, k) of every layer.
    """
    trace = {"hidden": [], "attention": []}

    def rms_norm(x, weight, eps):
        trace["hidden"].append(x)
        return ops.rms_norm(x, weight, eps)

    def causal_attention(q, k, v):
        trace["attention"].append((q, k))
        return ops.causal_attention(q, k, v)

    return Replaced(ops, rms_norm=rms_norm, causal_attention=causal_attention), trace


def states(trace):
    """The hidden states between layers: after the embedding, and after each layer."""
    return trace["hidden"][::2]


def scores(trace, ops):
    """The attention scores of each layer."""
    return [ops.attention_scores(q, k) for q, k in trace["attention"]]
