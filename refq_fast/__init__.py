"""refq_fast: the fast twin of refq. The same names; those with a Numba kernel are replaced below."""

from refq import *  # noqa: F403
from refq import __all__ as __all__
from refq import __version__ as __version__
from refq_fast import rounding as rounding
from refq_fast.grids.affine import dequantize, fake_quantize, fake_quantize_vjp, quantize
from refq_fast.grids.awq_words import pack_awq, unpack_awq
from refq_fast.grids.codebook import codebook_dequantize, codebook_quantize
from refq_fast.grids.gptq_words import pack_gptq, unpack_gptq
from refq_fast.grids.lookup import codebook_lookup, codebook_lookup_vjp
from refq_fast.grids.matmul_nbits import pack_matmul_nbits, unpack_matmul_nbits
from refq_fast.grids.mlx_words import pack_mlx, unpack_mlx
from refq_fast.grids.pack import pack_codes, pack_compressed_tensors, unpack_codes, unpack_compressed_tensors
from refq_fast.ranges.kmeans_optimal import kmeans_optimal
from refq_fast.ranges.kmeans_plus_plus import kmeans_plus_plus_init
from refq_fast.ranges.linear_mean import linear_mean
from refq_fast.ranges.linear_round import linear_round
from refq_fast.ranges.lloyd import lloyd, lloyd_step
from refq_fast.ranges.minmax import minmax
from refq_fast.ranges.mse import mse
from refq_fast.ranges.q4_k import encode_q4_k
from refq_fast.ranges.q6_k import encode_q6_k
from refq_fast.ranges.quantile import quantile_codebook
from refq_fast.ranges.sqnr import sqnr
from refq_fast.ranges.token import token_quantize
from refq_fast.models.bert import bert_forward
from refq_fast.models.decoder import LlamaDecoder
from refq_fast.models.llama import llama_decode, llama_forward
from refq_fast.ops.activations import silu, silu_vjp, swiglu, swiglu_vjp
from refq_fast.ops.attention import attention, attention_vjp, causal_attention, causal_attention_vjp
from refq_fast.ops.attention_scores import attention_scores, attention_scores_vjp
from refq_fast.ops.codebook_matmul import codebook_matmul, codebook_matmul_vjp
from refq_fast.ops.cross_entropy import cross_entropy, cross_entropy_vjp
from refq_fast.ops.embed import embed_vjp
from refq_fast.ops.gelu import gelu, gelu_tanh, gelu_tanh_vjp, gelu_vjp
from refq_fast.ops.integer_matmul import integer_matmul
from refq_fast.ops.layer_norm import layer_norm, layer_norm_vjp
from refq_fast.ops.linear import linear, linear_vjp
from refq_fast.ops.llm_int8 import llm_int8_matmul
from refq_fast.ops.quantized_linear import quantized_linear
from refq_fast.ops.quantized_matmul import quantized_matmul, quantized_matmul_vjp
from refq_fast.ops.rms_norm import rms_norm, rms_norm_vjp
from refq_fast.ops.rope import rope, rope_vjp
from refq_fast.ops.softmax import log_softmax, log_softmax_vjp, softmax, softmax_vjp
from refq_fast.packed_weight import CodebookWeight, PackedWeight
from refq_fast.solvers.gptq import gptq
from refq_fast.solvers.gptq_grouped import gptq_grouped
from refq_fast.solvers.hessian import hessian, hessian_factor
from refq_fast.transforms.clipping import awq_clip
from refq_fast.transforms.reassembly import reassemble_input
from refq_fast.training.divergences import kl_divergence, kl_divergence_vjp
from refq_fast.training.dynamic import dynamic_fake_quantize, dynamic_fake_quantize_vjp
from refq_fast.training.kd import kd_kl_and_grad
from refq_fast.training.learned_offset import lsq_plus, lsq_plus_vjp
from refq_fast.training.learned_range import learned_range, learned_range_vjp
from refq_fast.training.learned_step import lsq, lsq_vjp
from refq_fast.training.low_rank import low_rank_merge
from refq_fast.training.normalized_step import normalized_lsq, normalized_lsq_vjp
from refq_fast.training.optimizers import adamw, clip_gradients, global_norm
from refq_fast.training.reconstruction import reconstruction_gradients, reconstruction_step
from refq_fast.training.requantize import ste_requantize
from refq_fast.training.smooth import (
    sigmoid_ste_vjp,
    soft_clamp,
    soft_clamp_vjp,
    soft_fake_quantize,
    soft_fake_quantize_vjp,
)
from refq_fast.training.finetune import finetune_gradients, finetune_step
from refq_fast.training.step import kd_gradients, kd_step
from refq_fast.training.top_k import top_k_log_probs
from refq_fast.training.weight_clipping import lwc, lwc_vjp
from refq_fast.analysis.signal_propagation import signal_propagation
