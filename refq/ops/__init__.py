"""The operations of the models as one namespace: what a forward page is written against."""

from refq.ops.activations import silu, silu_vjp, swiglu, swiglu_vjp
from refq.ops.attention import attention, attention_vjp, causal_attention, causal_attention_vjp
from refq.ops.attention_scores import attention_scores, attention_scores_vjp
from refq.ops.codebook_matmul import codebook_matmul, codebook_matmul_vjp
from refq.ops.cross_entropy import cross_entropy, cross_entropy_vjp
from refq.ops.embed import embed, embed_vjp
from refq.ops.gelu import gelu, gelu_tanh, gelu_tanh_vjp, gelu_vjp
from refq.ops.integer_matmul import integer_matmul
from refq.ops.layer_norm import layer_norm, layer_norm_vjp
from refq.ops.linear import CodebookWeight as CodebookWeight
from refq.ops.linear import PackedWeight as PackedWeight
from refq.ops.linear import linear, linear_vjp
from refq.ops.llm_int8 import llm_int8_matmul
from refq.ops.quantized_linear import quantized_linear
from refq.ops.quantized_matmul import quantized_matmul, quantized_matmul_vjp
from refq.ops.rms_norm import rms_norm, rms_norm_vjp
from refq.ops.rope import rope, rope_frequencies, rope_vjp
from refq.ops.softmax import log_softmax, log_softmax_vjp, softmax, softmax_vjp
from refq.ops.tanh import tanh, tanh_vjp

__all__ = [
    "embed",
    "embed_vjp",
    "linear",
    "linear_vjp",
    "quantized_matmul",
    "quantized_matmul_vjp",
    "codebook_matmul",
    "codebook_matmul_vjp",
    "llm_int8_matmul",
    "integer_matmul",
    "quantized_linear",
    "rms_norm",
    "rms_norm_vjp",
    "layer_norm",
    "layer_norm_vjp",
    "rope_frequencies",
    "rope",
    "rope_vjp",
    "attention_scores",
    "attention_scores_vjp",
    "causal_attention",
    "causal_attention_vjp",
    "attention",
    "attention_vjp",
    "silu",
    "silu_vjp",
    "swiglu",
    "swiglu_vjp",
    "gelu",
    "gelu_vjp",
    "gelu_tanh",
    "gelu_tanh_vjp",
    "tanh",
    "tanh_vjp",
    "softmax",
    "softmax_vjp",
    "log_softmax",
    "log_softmax_vjp",
    "cross_entropy",
    "cross_entropy_vjp",
]
