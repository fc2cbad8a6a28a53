"""Gradients through a grid, distillation, optimizers, schedules, and the training step."""

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
from refq.training.finetune import finetune_gradients, finetune_step
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
from refq.training.low_rank import low_rank_init, low_rank_merge
from refq.training.normalized_step import normalized_lsq, normalized_lsq_scale, normalized_lsq_vjp
from refq.training.optimizers import adam, adamw, clip_gradients, global_norm, sgd
from refq.training.reconstruction import reconstruction_gradients, reconstruction_step
from refq.training.reduction import reduce_loss, reduce_loss_vjp
from refq.training.requantize import ste_requantize, ste_requantize_vjp
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
from refq.training.weight_clipping import lwc, lwc_vjp

__all__ = [
    "lsq",
    "lsq_vjp",
    "lsq_gradient_scale",
    "lsq_scale",
    "lsq_plus",
    "lsq_plus_vjp",
    "lsq_plus_range",
    "learned_range",
    "learned_range_vjp",
    "lwc",
    "lwc_vjp",
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
    "ste_requantize",
    "ste_requantize_vjp",
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
    "finetune_gradients",
    "finetune_step",
    "low_rank_init",
    "low_rank_merge",
    "reconstruction_gradients",
    "reconstruction_step",
]
