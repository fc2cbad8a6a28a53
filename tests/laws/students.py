"""What the laws of the training step share: small seeded students, batches, and bounds for nested results."""

from unittest import mock

import numpy as np
from hypothesis import strategies as st

import refq
from refq.ops.namespace import Replaced
from tests.laws.models import seeded_model
from tests.laws.operations import UNIT

PROJECTIONS = ("q", "k", "v", "o", "gate", "up", "down")


def seeded_student(seed, bits=4, group_size=None, symmetric=True, **model):
    """(params, config): a seeded model whose linear layers have scales near those of minmax."""
    params, config = seeded_model(seed, **model)
    random = np.random.default_rng(seed)
    for name, w in list(params.items()):
        if ".mlp." in name or "self_attn" in name and name.endswith("weight"):
            groups = refq.to_groups(w, group_size)
            scale, zero_point = refq.minmax(groups, *refq.integer_range(bits), symmetric)
            params[f"{name}_scale"] = scale[..., 0] * random.uniform(0.8, 1.1, scale.shape[:2]).astype(np.float32)
            if not symmetric:
                params[f"{name}_zero_point"] = zero_point[..., 0]
    return params, config


def seeded_batch(seed, B=2, T=3, V=11):
    """Tokens, targets, teacher logits, and a mask that leaves out the end of the last sequence."""
    random = np.random.default_rng(seed + 1)
    tokens = random.integers(0, V, (B, T + 1)).astype(np.int32)
    mask = np.ones((B, T), bool)
    mask[-1, T // 2 + 1 :] = False
    logits = (random.standard_normal((B, T, V)) * 2).astype(np.float32)
    return {"tokens": tokens[:, :-1], "targets": tokens[:, 1:], "mask": mask, "teacher_logits": logits}


def doubled(arguments):
    """The same call in float64."""
    batch = {name: a.astype(np.float64) if a.dtype == np.float32 else a for name, a in arguments["batch"].items()}
    params = {n: a.astype(np.float64) if a.dtype == np.float32 else a for n, a in arguments["params"].items()}
    return arguments | {"params": params, "batch": batch}


@st.composite
def student_arguments(draw):
    """Arguments of kd_gradients: students of up to two layers, all quantizers, losses of logits, and frozen sets."""
    seed, bits = draw(st.integers(0, 99)), draw(st.sampled_from([2, 3, 4, 8]))
    params, config = seeded_student(
        seed,
        bits,
        draw(st.sampled_from([None, 2, 4])),
        draw(st.booleans()),
        layers=draw(st.integers(0, 2)),
        K=draw(st.integers(1, 2)),
        R=draw(st.integers(1, 2)),
        tied=draw(st.booleans()),
        biases=draw(st.sampled_from(["", "qkv"])),
    )
    chosen = draw(st.sampled_from([(), ("o", "v"), ("q", "k", "v"), PROJECTIONS])) if len(params) > 3 else ()
    frozen = refq.ov_freeze(params, *refq.integer_range(bits), chosen)[1] if chosen else []
    losses = draw(st.sampled_from([{"kl": 1.0}, {"kl": 0.5, "ce": 0.5}, {"ce": 2.0}, {"reverse_kl": 1.0, "js": 0.5}]))
    recipe = {
        "bits": bits,
        "quantizer": draw(st.sampled_from(["lsq", "straight_through"])),
        "losses": losses,
        "reduction": draw(st.sampled_from(["token_mean", "batchmean"])),
        "temperature": draw(st.sampled_from([1.0, 2.0])),
        "frozen": frozen,
    }
    batch = seeded_batch(seed, draw(st.integers(1, 2)), draw(st.integers(1, 4)))
    return {"params": params, "batch": batch, "config": config, "recipe": recipe}


def nested_bound(expected, exact, floor):
    """Twice the distance of float32 from float64, or `floor`, whichever is more, of all floats; None of all else."""
    if isinstance(expected, dict):
        return {name: nested_bound(expected[name], exact[name], floor) for name in expected}
    if isinstance(expected, (tuple, list)):
        return [nested_bound(e, x, floor) for e, x in zip(expected, exact, strict=True)]
    if np.asarray(expected).dtype.kind != "f":
        return None
    return 2 * np.maximum(np.abs(np.asarray(exact, np.float64) - expected).max(initial=0), floor)


def noise(used):
    """A thousand roundings of the largest gradient."""
    return 1000 * UNIT * max([1e-3, *(np.abs(g).max(initial=0) for g in used.values())])


def with_operations(function, **replaced):
    """The function with an engine that has some wrong operations."""
    return lambda **arguments: getattr(refq, function)(**arguments, ops=Replaced(refq, **replaced))


def with_settings(function, change):
    """The function with another recipe."""
    return lambda **arguments: getattr(refq, function)(
        **(arguments | {"recipe": arguments["recipe"] | change(arguments["recipe"])})
    )


def with_part(function, module, name, wrong):
    """The function with a part of its page replaced."""

    def run(**arguments):
        with mock.patch.object(module, name, wrong):
            return getattr(refq, function)(**arguments)

    return run
