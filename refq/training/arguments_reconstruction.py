"""The arguments of block training, each by its rule, for both packages."""

import numpy as np

from refq import checks
from refq.errors import GridError, ShapeError
from refq.training import arguments_optimizers as optimizers

PAIRS = ((".low", ".high"), (".gamma", ".beta"))


def low_rank_init(shape, rank, draws):
    """Two sizes and a rank of 1 or more, and float64 draws (rank, in) from 0 up to 1."""
    if len(shape) != 2 or min(checks.integer("shape", n) for n in shape) < 1:
        raise ShapeError(f"shape={tuple(shape)}; (out, in), each 1 or more, is needed")
    if checks.integer("rank", rank) < 1:
        raise ShapeError(f"rank={rank}; 1 or more is needed")
    draws = checks.as_float_like("draws", np.asarray(draws), np.float64(0))
    checks.same_shape("draws", draws, f"rank {rank} and shape {tuple(shape)}", (rank, shape[1]))
    good = (draws >= 0) & (draws < 1)
    if not good.all():
        raise GridError(f"{checks.first_wrong('draws', draws, good)}; 0 <= draws < 1 is needed")
    return tuple(map(int, shape)), int(rank), draws


def low_rank_merge(w, low, high, scaling):
    """w (out, in), low (rank, in) and high (out, rank), finite and of one dtype; a finite scaling."""
    w = checks.finite("w", checks.as_float("w", w))
    low, high = (checks.finite(n, checks.as_float_like(n, a, w)) for n, a in (("low", low), ("high", high)))
    if not (low.ndim == high.ndim == 2 and w.shape == (len(high), low.shape[1]) and len(low) == high.shape[1]):
        shapes = f"w has shape {w.shape}, low {low.shape}, high {high.shape}"
        raise ShapeError(f"{shapes}; (out, in), (rank, in) and (out, rank) are needed")
    return w, low, high, optimizers.number("scaling", scaling)


def merged(w):
    """A sum that did not overflow."""
    good = np.isfinite(w)
    if not good.all():
        raise GridError(f"{checks.first_wrong('w + scaling * high @ low', w, good)}; it overflows {w.dtype}")
    return w


def recipe(recipe):
    """Every setting by its own rule, and what does not go together."""
    layers, kinds, bits = recipe["layers"], recipe["train"], recipe["bits"]
    if not layers or any(checks.integer("layers", layer) < 0 for layer in layers):
        raise GridError(f"layers={layers}; at least one number of a block, each 0 or more, is needed")
    for kind in kinds:
        if kind not in recipe["learning_rates"]:
            raise GridError(f"train has {kind!r}; {', '.join(recipe['learning_rates'])} are there")
    if not kinds:
        raise GridError("train is empty; at least one kind is needed")
    if "clipping" in kinds and (bits is None or recipe["symmetric"]):
        raise GridError(f"clipping with bits={bits}, symmetric={recipe['symmetric']}; it needs bits and no symmetry")
    for largest, key in ((8, "bits"), (16, "activations"), (16, "attention")):
        if recipe[key] is not None:
            checks.bit_width(recipe[key], largest=largest)
    for kind, rate in recipe["learning_rates"].items():
        optimizers.rates(rate, recipe["weight_decay"], np.float32, f"the learning rate of {kind}")
    optimizers.adam(1, recipe["betas"], recipe["eps"], np.dtype(np.float32))
    optimizers.number("scaling", recipe["scaling"])


def batch(batch):
    """inputs and targets (B, T, D) of at least one token."""
    for key in ("inputs", "targets"):
        if key not in batch:
            raise GridError(f"the batch has no {key}; what goes into the blocks and what shall come out are needed")
    x = checks.finite("inputs", checks.as_float("inputs", batch["inputs"]))
    if x.ndim != 3 or not x.size:
        raise ShapeError(f"inputs has shape {x.shape}; (B, T, D), none of them 0, is needed")
    targets = checks.finite("targets", checks.as_float_like("targets", batch["targets"], x))
    checks.same_shape("targets", targets, "inputs", x.shape)


def blocks(params, names, recipe):
    """Something of each kind to train, factors and logits in pairs that fit, and inputs of layers that are there."""
    for kind in recipe["train"]:
        if kind not in names.values():
            raise GridError(f"train has {kind!r}, but blocks {recipe['layers']} have no array of that kind")
    for name in params:
        for end, other in (*PAIRS, *(pair[::-1] for pair in PAIRS)):
            if name.endswith(end) and (partner := name.removesuffix(end) + other) not in params:
                raise GridError(f"params has {name}, but no {partner}")
    for key in ("inputs", "group_sizes", "kept"):
        for layer in recipe[key]:
            if f"{layer}.weight" not in params:
                raise GridError(f"{key} has {layer!r}, but params has no {layer}.weight")
    for layer, how in recipe["inputs"].items():
        width = np.shape(params[f"{layer}.weight"])[-1]
        if isinstance(how, int) and (how < 1 or width % how):
            raise GridError(f"inputs has the stride {how} for {layer}; a divisor of its {width} inputs is needed")
