"""A LLaMA that is fed tokens, and says what comes next."""

import numpy as np

import refq.ops
from refq.errors import GridError, ShapeError
from refq.grids.affine import dequantize
from refq.models.llama import llama_continue, llama_logits
from refq.ops.namespace import Replaced
from refq.ranges.token import token_quantize


class LlamaDecoder:
    """llama_decode with the cache inside: what generates text, token after token.

    feed(a), then feed(b): the last logits of llama_forward(params, [a b], config)

    Parameters
        params, config: as llama_decode takes them.
        ops: namespace of the operations, where weights ask for more than linear knows; it means by arrays, PackedWeight
            and QuantizedInput what quantized_inputs means. None for refq.ops.
        cache_bits: None, or 8: attention sees keys (rotated by their positions) and values on a grid a token and head,
            dequantize(*token_quantize(x, 8, symmetric=True)).
    Raises
        GridError: another cache_bits; feed raises as llama_decode, and ShapeError: no tokens.

    >>> params = {"model.embed_tokens.weight": np.float32([[1, -1], [1, 1]]), "model.norm.weight": np.float32([1, 1])}
    >>> config = {"num_hidden_layers": 0, "head_dim": 2, "rms_norm_eps": 3.0, "rope_theta": 1.0, "rope_scaling": None}
    >>> LlamaDecoder(params, config).feed([1])
    array([0., 1.], dtype=float32)
    """

    def __init__(self, params, config, ops=None, cache_bits=None):
        ops = ops or refq.ops
        self.params, self.config, self.cache = params, config, None
        self.ops = ops if check_cache_bits(cache_bits) is None else quantized_cache(ops)

    def feed(self, tokens):
        """Logits (V,) after the last of some tokens (T,), which follow all that were fed before."""
        tokens = check_tokens(tokens)[None]
        x, self.cache = llama_continue(self.params, tokens, self.cache, self.config, self.ops)
        return llama_logits(self.params, x[:, -1:], self.config, self.ops)[0, 0]


def check_tokens(tokens):
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or not tokens.size:
        raise ShapeError(f"tokens has shape {tokens.shape}; the axis (T,) is needed, of at least one token")
    return tokens


def check_cache_bits(bits):
    if bits not in (None, 8):
        raise GridError(f"cache_bits={bits}; None or 8 is needed")
    return bits


def quantized_cache(ops):
    """`ops` whose attention sees keys and values on an 8-bit grid of each token and head."""

    def causal_attention(q, k, v):
        return ops.causal_attention(q, *(dequantize(*token_quantize(x, 8, symmetric=True)) for x in (k, v)))

    return Replaced(ops, causal_attention=causal_attention)
