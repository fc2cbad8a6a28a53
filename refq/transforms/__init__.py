"""Exact rewrites that make a layer easier to quantize, and the choices they are made with."""

from refq.transforms.clipping import awq_clip
from refq.transforms.disassembly import channel_splits
from refq.transforms.distance import channel_distance, official_channel_score
from refq.transforms.fold import fold
from refq.transforms.hadamard import hadamard, hadamard_transform, hadamard_transform_vjp
from refq.transforms.matching import bipartite_matching, channel_pruning
from refq.transforms.reassembly import (
    assemble,
    reassemble_input,
    reassemble_input_vjp,
    reassemble_weight,
    reassemble_weight_vjp,
    reassembly,
)
from refq.transforms.rotation import fuse_norms, rotate
from refq.transforms.smoothing import awq_scale, os_scale, os_shift, os_thresholds, smooth_scale
from refq.transforms.thresholds import expansion_threshold, official_threshold_grid, threshold_grid

__all__ = [
    "fold",
    "smooth_scale",
    "os_shift",
    "os_scale",
    "os_thresholds",
    "awq_scale",
    "awq_clip",
    "hadamard",
    "hadamard_transform",
    "hadamard_transform_vjp",
    "fuse_norms",
    "rotate",
    "channel_splits",
    "threshold_grid",
    "official_threshold_grid",
    "expansion_threshold",
    "channel_distance",
    "official_channel_score",
    "bipartite_matching",
    "channel_pruning",
    "assemble",
    "reassembly",
    "reassemble_input",
    "reassemble_input_vjp",
    "reassemble_weight",
    "reassemble_weight_vjp",
]
