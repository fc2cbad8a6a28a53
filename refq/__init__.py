"""refq: a readable reference of low-bit language models. Every public name has a section in SPEC.md."""

from refq.analysis.signal_propagation import signal_propagation
from refq.grids.affine import dequantize, fake_quantize, fake_quantize_vjp, integer_range, quantize
from refq.grids.codebook import codebook_dequantize, codebook_quantize
from refq.grids.groups import from_groups, to_groups
from refq.grids.pack import pack_codes, pack_compressed_tensors, unpack_codes, unpack_compressed_tensors
from refq.grids.tables import e2m1_codebook, fp4_codebook, nf4_codebook
from refq.models.llama import llama_decode, llama_forward
from refq.ops import PackedWeight as PackedWeight
from refq.ops import (
    attention_scores,
    attention_scores_vjp,
    causal_attention,
    causal_attention_vjp,
    cross_entropy,
    cross_entropy_vjp,
    embed,
    embed_vjp,
    linear,
    linear_vjp,
    log_softmax,
    log_softmax_vjp,
    quantized_matmul,
    quantized_matmul_vjp,
    rms_norm,
    rms_norm_vjp,
    rope,
    rope_frequencies,
    rope_vjp,
    silu,
    silu_vjp,
    softmax,
    softmax_vjp,
    swiglu,
    swiglu_vjp,
)
from refq.ranges.aimet import aimet_range
from refq.ranges.aimet_sqnr import aimet_sqnr_range
from refq.ranges.awq import awq_range
from refq.ranges.compressed_tensors import compressed_tensors_range
from refq.ranges.float16 import float16_scale
from refq.ranges.gptq import gptq_range
from refq.ranges.hqq import hqq_range
from refq.ranges.llama_cpp import q4_0_range, q4_1_range, q8_0_range
from refq.ranges.minmax import minmax
from refq.ranges.mse import mse
from refq.ranges.percentile import percentile
from refq.ranges.sqnr import sqnr
from refq.training.divergences import (
    jensen_shannon_divergence,
    jensen_shannon_divergence_vjp,
    kl_divergence,
    kl_divergence_vjp,
    reverse_kl_divergence,
    reverse_kl_divergence_vjp,
)
from refq.training.dynamic import dynamic_fake_quantize, dynamic_fake_quantize_vjp
from refq.training.features import (
    attention_map_error,
    attention_map_error_vjp,
    cosine_distance,
    cosine_distance_vjp,
    squared_error,
    squared_error_vjp,
)
from refq.training.gradient_l1 import (
    first_order_bound,
    gradient_l1,
    gradient_l1_direction,
    gradient_l1_epsilon,
    gradient_l1_gradient,
)
from refq.training.kd import kd_kl_and_grad
from refq.training.learned_offset import lsq_plus, lsq_plus_range, lsq_plus_vjp
from refq.training.learned_range import learned_range, learned_range_vjp
from refq.training.learned_step import lsq, lsq_gradient_scale, lsq_scale, lsq_vjp
from refq.training.lottery import lts_distance, lts_freeze, lts_hold, lts_threshold
from refq.training.normalized_step import normalized_lsq, normalized_lsq_scale, normalized_lsq_vjp
from refq.training.optimizers import adam, adamw, clip_gradients, global_norm, sgd
from refq.training.reduction import reduce_loss, reduce_loss_vjp
from refq.training.schedules import cosine_schedule, linear_schedule, step_schedule
from refq.training.smooth import (
    sigmoid_ste,
    sigmoid_ste_vjp,
    soft_clamp,
    soft_clamp_vjp,
    soft_fake_quantize,
    soft_fake_quantize_vjp,
)
from refq.training.step import kd_gradients, kd_step
from refq.training.student import ov_freeze
from refq.training.top_k import top_k_kl, top_k_kl_vjp, top_k_log_probs
from refq.training.transitions import (
    initial_target,
    running_rate,
    talr_additive,
    talr_momentum,
    talr_multiplicative,
    target_rate,
    target_rate_steps,
    transition_rate,
)

__version__ = "0.1.0"

__all__ = [
    "integer_range",
    "quantize",
    "dequantize",
    "fake_quantize",
    "fake_quantize_vjp",
    "to_groups",
    "from_groups",
    "codebook_quantize",
    "codebook_dequantize",
    "nf4_codebook",
    "fp4_codebook",
    "e2m1_codebook",
    "pack_codes",
    "unpack_codes",
    "pack_compressed_tensors",
    "unpack_compressed_tensors",
    "float16_scale",
    "minmax",
    "percentile",
    "mse",
    "sqnr",
    "aimet_range",
    "aimet_sqnr_range",
    "gptq_range",
    "awq_range",
    "compressed_tensors_range",
    "q4_0_range",
    "q4_1_range",
    "q8_0_range",
    "hqq_range",
    "embed",
    "embed_vjp",
    "linear",
    "linear_vjp",
    "quantized_matmul",
    "quantized_matmul_vjp",
    "rms_norm",
    "rms_norm_vjp",
    "rope_frequencies",
    "rope",
    "rope_vjp",
    "attention_scores",
    "attention_scores_vjp",
    "causal_attention",
    "causal_attention_vjp",
    "silu",
    "silu_vjp",
    "swiglu",
    "swiglu_vjp",
    "softmax",
    "softmax_vjp",
    "log_softmax",
    "log_softmax_vjp",
    "cross_entropy",
    "cross_entropy_vjp",
    "llama_forward",
    "llama_decode",
    "lsq",
    "lsq_vjp",
    "lsq_gradient_scale",
    "lsq_scale",
    "lsq_plus",
    "lsq_plus_vjp",
    "lsq_plus_range",
    "learned_range",
    "learned_range_vjp",
    "dynamic_fake_quantize",
    "dynamic_fake_quantize_vjp",
    "normalized_lsq",
    "normalized_lsq_vjp",
    "normalized_lsq_scale",
    "sigmoid_ste",
    "sigmoid_ste_vjp",
    "soft_clamp",
    "soft_clamp_vjp",
    "soft_fake_quantize",
    "soft_fake_quantize_vjp",
    "kl_divergence",
    "kl_divergence_vjp",
    "reverse_kl_divergence",
    "reverse_kl_divergence_vjp",
    "jensen_shannon_divergence",
    "jensen_shannon_divergence_vjp",
    "top_k_log_probs",
    "top_k_kl",
    "top_k_kl_vjp",
    "squared_error",
    "squared_error_vjp",
    "cosine_distance",
    "cosine_distance_vjp",
    "attention_map_error",
    "attention_map_error_vjp",
    "reduce_loss",
    "reduce_loss_vjp",
    "kd_kl_and_grad",
    "sgd",
    "adam",
    "adamw",
    "global_norm",
    "clip_gradients",
    "cosine_schedule",
    "linear_schedule",
    "step_schedule",
    "transition_rate",
    "running_rate",
    "initial_target",
    "target_rate",
    "target_rate_steps",
    "talr_additive",
    "talr_multiplicative",
    "talr_momentum",
    "lts_distance",
    "lts_threshold",
    "lts_freeze",
    "lts_hold",
    "gradient_l1",
    "first_order_bound",
    "gradient_l1_epsilon",
    "gradient_l1_direction",
    "gradient_l1_gradient",
    "ov_freeze",
    "kd_gradients",
    "kd_step",
    "signal_propagation",
]
