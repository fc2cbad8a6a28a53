"""Activation recomputation: memory against time, the same bits."""

from refq import tape
from refq.models.llama import llama_block, llama_logits
from refq.ops.namespace import Replaced
from refq.training.activations import QuantizedInput


def recomputing(engine):
    """`engine` with a llama_forward that keeps the states between blocks alone for the way back.

    What is inside of a block is computed again when its gradient is asked for: a forward pass of the blocks more.

    Parameters
        engine: refq or refq_fast.
    Returns
        a namespace for the `ops` of kd_step. Losses that look into blocks, "hidden" and "attention", see nothing there.

    >>> import refq
    >>> recomputing(refq).silu(0.0)
    0.0

    Source: Chen et al. 2016 (1604.06174), a segment a block.
    """

    def llama_forward(params, tokens, config, ops=None):
        ops = ops or engine
        x = ops.embed(tokens, params["model.embed_tokens.weight"])
        for layer in range(config["num_hidden_layers"]):
            x = _block(params, x, layer, config, ops)
        return llama_logits(params, x, config, ops)

    return Replaced(engine, llama_forward=llama_forward)


def _block(params, x, layer, config, ops):
    """llama_block, of which the tape sees what goes in and what comes out."""
    own = {"x": x} | {name: w for name, w in params.items() if name.startswith(f"model.layers.{layer}.")}
    tensors = [part for w in own.values() for part in _parts(w) if isinstance(part, tape.Tensor)]

    def block(*given):
        given = iter(given)
        used = {name: _with(w, given) for name, w in own.items()}
        return llama_block(used, used.pop("x"), layer, config, ops)

    return tape.recomputed(block, *tensors)


def _parts(w):
    return w if isinstance(w, QuantizedInput) else (w,)


def _with(w, given):
    """w with the next of what is given in place of each Tensor."""
    parts = [next(given) if isinstance(part, tape.Tensor) else part for part in _parts(w)]
    return QuantizedInput(*parts) if isinstance(w, QuantizedInput) else parts[0]
