"""Laws of llama_forward."""

import types

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_causal_attention, test_rope
from tests.laws.models import SCALING, seeded_model, wide
from tests.laws.operations import UNIT
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    params, config = seeded_model(
        draw(st.integers(0, 99)),
        layers=draw(st.integers(0, 2)),
        K=draw(st.integers(1, 2)),
        R=draw(st.integers(1, 3)),
        tied=draw(st.booleans()),
        biases=draw(st.sampled_from(["", "qkv", "qkvom"])),
        scaling=draw(st.none() | st.just(SCALING)),
    )
    tokens = draw(int_arrays((draw(st.integers(1, 2)), draw(st.integers(1, 5))), 0, 10))
    return {"params": params, "tokens": tokens, "config": config}


def bound(arguments, expected):
    """Twice the distance of float32 from float64, or of a thousand roundings, whichever is more."""
    exact = refq.llama_forward(wide(arguments["params"]), arguments["tokens"], arguments["config"])
    return 2 * np.maximum(np.abs(exact - expected).max(), 1000 * UNIT * np.abs(expected).max())


@both
@given(arguments())
def test_later_tokens_change_nothing(engine, arguments):
    logits = engine.llama_forward(**arguments)
    first = engine.llama_forward(**(arguments | {"tokens": arguments["tokens"][:, :1]}))
    np.testing.assert_allclose(first, logits[:, :1], atol=bound(arguments, logits))


@both
@given(arguments())
def test_each_sequence_by_itself(engine, arguments):
    logits = engine.llama_forward(**arguments)
    last = engine.llama_forward(**(arguments | {"tokens": arguments["tokens"][-1:]}))
    np.testing.assert_allclose(last, logits[-1:], atol=bound(arguments, logits))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    logits = engine.llama_forward(**arguments)
    exact = engine.llama_forward(wide(arguments["params"]), arguments["tokens"], arguments["config"])
    assert logits.dtype == np.float32
    assert exact.dtype == np.float64
    np.testing.assert_allclose(logits, exact, atol=bound(arguments, logits))


@both
@given(arguments())
def test_a_head_equal_to_the_embedding_is_tied(engine, arguments):
    embedding = arguments["params"]["model.embed_tokens.weight"]
    arguments["params"].pop("lm_head.weight", None)
    tied = engine.llama_forward(**arguments)
    arguments["params"]["lm_head.weight"] = embedding
    np.testing.assert_array_equal(engine.llama_forward(**arguments), tied)


@both
def test_the_operations_can_be_replaced(engine):
    params, config = seeded_model(1)
    seen = []
    ops = types.SimpleNamespace(**vars(refq.ops))
    ops.rms_norm = lambda *arguments: seen.append(1) or refq.rms_norm(*arguments)
    engine.llama_forward(params, np.array([[1, 2]]), config, ops)
    assert len(seen) == 5


def with_operation(function="llama_forward", **replaced):
    """The model with some operations replaced by wrong ones."""
    ops = types.SimpleNamespace(**(vars(refq.ops) | replaced))
    return lambda **arguments: getattr(refq, function)(**arguments, ops=ops)


def _in_config(change):
    return lambda params, tokens, config: refq.llama_forward(params, tokens, config | change(config))


def _in_params(change):
    return lambda params, tokens, config: refq.llama_forward(change(dict(params)), tokens, config)


def _swapped(params):
    for name in list(params):
        if "gate_proj" in name:
            other = name.replace("gate", "up")
            params[name], params[other] = params[other], params[name]
    return params


def _norms_swapped(params):
    for name in list(params):
        if "input_layernorm" in name:
            other = name.replace("input", "post_attention")
            params[name], params[other] = params[other], params[name]
    return params


def _without(part):
    return lambda params: {name: array for name, array in params.items() if part not in name}


def _ones(part):
    return lambda params: {n: np.ones_like(a) if n == part else a for n, a in params.items()}


OPERATIONS = {
    "neighbouring rotary pairs": {"rope": test_rope.wrong(neighbours=True)},
    "no rotation": {"rope": lambda x, positions, frequencies: x},
    "heads tiled instead of repeated": {"causal_attention": test_causal_attention.wrong(tiled=True)},
    "no mask": {"causal_attention": test_causal_attention.wrong(seen=10**6)},
    "attention without its scale": {"causal_attention": test_causal_attention.wrong(scale=lambda d: 1.0)},
    "values rotated": {
        "causal_attention": lambda q, k, v: refq.causal_attention(
            q, k, refq.rope(v, np.arange(v.shape[2]), refq.rope_frequencies(v.shape[3], 10000.0))
        )
    },
    "relu for silu": {"swiglu": lambda gate, up: np.maximum(gate, 0) * up},
    "biases ignored": {"linear": lambda x, weight, bias=None: refq.linear(x, weight)},
    "eps of 1e-6": {"rms_norm": lambda x, weight, eps: refq.rms_norm(x, weight, 1e-6)},
    "negative tokens and tokens too large": {"embed": lambda tokens, weight: weight[tokens % len(weight)]},
}
WRONG = {name: with_operation(**replaced) for name, replaced in OPERATIONS.items()} | {
    "rope_scaling ignored": _in_config(lambda config: {"rope_scaling": None}),
    "rope_theta of 10000": _in_config(lambda config: {"rope_theta": 10000.0}),
    "first layer only": _in_config(lambda config: {"num_hidden_layers": min(config["num_hidden_layers"], 1)}),
    "always tied": _in_params(_without("lm_head")),
    "gate and up swapped": _in_params(_swapped),
    "the norms of a layer swapped": _in_params(_norms_swapped),
    "final norm without its weight": _in_params(_ones("model.norm.weight")),
    "logits of the last position": lambda **arguments: refq.llama_forward(**arguments)[:, -1:],
    "probabilities": lambda **arguments: refq.softmax(refq.llama_forward(**arguments)),
}
