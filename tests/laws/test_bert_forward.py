"""Laws of bert_forward."""

import types as modules

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_attention
from tests.laws.models import seeded_bert, wide
from tests.laws.operations import UNIT
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    params, config = seeded_bert(
        draw(st.integers(0, 99)),
        layers=draw(st.integers(0, 2)),
        H=draw(st.sampled_from([1, 2])),
        width=draw(st.sampled_from([None, 3])),
        shared=draw(st.booleans()),
        pooler=draw(st.booleans()),
        act=draw(st.sampled_from(["gelu", "gelu_tanh"])),
    )
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 5)))
    lengths = draw(int_arrays(shape[:1], 1, shape[1]))
    given = {"params": params, "tokens": draw(int_arrays(shape, 0, 10)), "config": config}
    return given | {"mask": np.arange(shape[1]) < lengths[:, None], "types": draw(st.none() | int_arrays(shape, 0, 1))}


def bound(arguments, expected):
    """Twice the distance of float32 from float64, or of a thousand roundings, whichever is more."""
    exact = refq.bert_forward(**(arguments | {"params": wide(arguments["params"])}))
    return [
        None if e is None else 2 * np.maximum(np.abs(x - e).max(), 1000 * UNIT * np.abs(e).max())
        for x, e in zip(exact, expected, strict=True)
    ]


def _near(found, expected, arguments):
    bounds = bound(arguments, expected)
    for one, other, allowed in zip(found, expected, bounds, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, atol=allowed.max())


@both
@given(arguments())
def test_padding_changes_nothing(engine, arguments):
    hidden, pooled = engine.bert_forward(**arguments)
    mask, tokens = arguments["mask"], arguments["tokens"]
    other, again = engine.bert_forward(**(arguments | {"tokens": np.where(mask, tokens, (tokens + 1) % 11)}))
    np.testing.assert_array_equal(other[mask], hidden[mask])
    np.testing.assert_equal(again, pooled)


@both
@given(arguments())
def test_a_sequence_alone_without_its_padding(engine, arguments):
    hidden, pooled = engine.bert_forward(**arguments)
    length = arguments["mask"][-1].sum()
    cut = {name: arguments[name][-1:, :length] for name in ("tokens", "mask")}
    cut["types"] = None if arguments["types"] is None else arguments["types"][-1:, :length]
    alone = engine.bert_forward(**(arguments | cut))
    _near(alone, (hidden[-1:, :length], None if pooled is None else pooled[-1:]), arguments | cut)


@both
@given(arguments())
def test_shared_is_repeated(engine, arguments):
    params, config = dict(arguments["params"]), arguments["config"] | {"shared_layers": True}
    shared = engine.bert_forward(**(arguments | {"config": config}))
    for name in [name for name in params if "encoder.layer.0." in name]:
        params[name.replace("layer.0.", "layer.1.")] = params[name]
    repeated = arguments | {"params": params, "config": config | {"shared_layers": False}}
    np.testing.assert_equal(engine.bert_forward(**repeated), shared)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    found = engine.bert_forward(**arguments)
    exact = engine.bert_forward(**(arguments | {"params": wide(arguments["params"])}))
    assert found[0].dtype == np.float32
    assert exact[0].dtype == np.float64
    _near(found, exact, arguments)


@both
def test_the_operations_can_be_replaced(engine):
    params, config = seeded_bert(1)
    seen = []
    ops = modules.SimpleNamespace(**vars(refq.ops))
    ops.linear = lambda *arguments: seen.append(1) or refq.linear(*arguments)
    engine.bert_forward(params, np.array([[1, 2]]), np.array([[True, True]]), config, ops)
    assert len(seen) == 13


def with_operation(**replaced):
    """The model with some operations replaced by wrong ones."""
    ops = modules.SimpleNamespace(**(vars(refq.ops) | replaced))
    return lambda **arguments: refq.bert_forward(**arguments, ops=ops)


def _in_config(change):
    return lambda params, tokens, mask, config, types: refq.bert_forward(
        params, tokens, mask, config | change(config), None, types
    )


def _in_params(change):
    return lambda params, tokens, mask, config, types: refq.bert_forward(
        change(dict(params)), tokens, mask, config, None, types
    )


def _in_inputs(tokens=lambda t: t, mask=lambda m: m, types=lambda t: t):
    return lambda **a: refq.bert_forward(
        **(a | {"tokens": tokens(a["tokens"]), "mask": mask(a["mask"]), "types": types(a["types"])})
    )


def _swapped(first, second):
    def swap(params):
        renamed = {}
        for name, array in params.items():
            other = name.replace(first, "@").replace(second, first).replace("@", second)
            renamed[other] = array
        return renamed

    return _in_params(swap)


def _zero(part):
    return _in_params(lambda params: {n: np.zeros_like(a) if part in n else a for n, a in params.items()})


def _pooled(change):
    def bert_forward(**arguments):
        hidden, pooled = refq.bert_forward(**arguments)
        return hidden, None if pooled is None else change(hidden, pooled, arguments).astype(np.float32)

    return bert_forward


def _of_the_last(hidden, pooled, arguments):
    params = arguments["params"]
    return np.tanh(hidden[:, -1] @ params["pooler.dense.weight"].T + params["pooler.dense.bias"])


def _of_the_mean(hidden, pooled, arguments):
    params = arguments["params"]
    return np.tanh(hidden.mean(axis=1) @ params["pooler.dense.weight"].T + params["pooler.dense.bias"])


def _pre_norm(params, tokens, mask, config, types):
    right = refq.bert_forward(params, tokens, mask, config, None, types)
    if not config["num_hidden_layers"]:
        return right
    scale = [np.float32(1.5), np.float32(1.5)]  # a norm that stands before the sum leaves a longer vector
    return [None if r is None else r * s for r, s in zip(right, scale, strict=True)]


OPERATIONS = {
    "gelu for gelu_tanh": {"gelu_tanh": refq.gelu},
    "gelu_tanh for gelu": {"gelu": refq.gelu_tanh},
    "relu": {"gelu": lambda x: np.maximum(x, 0), "gelu_tanh": lambda x: np.maximum(x, 0)},
    "padding seen": {"attention": lambda q, k, v, mask: refq.attention(q, k, v, np.ones_like(mask))},
    "causal": {"attention": lambda q, k, v, mask: test_attention.wrong(causal=True)(q, k, v, mask)},
    "attention without its scale": {"attention": test_attention.wrong(scale=lambda d: 1.0)},
    "biases ignored": {"linear": lambda x, weight, bias=None: refq.linear(x, weight)},
    "eps of 0.1": {"layer_norm": lambda x, weight, bias, eps: refq.layer_norm(x, weight, bias, 0.1)},
    "norm without the mean": {"layer_norm": lambda x, weight, bias, eps: refq.rms_norm(x, weight, eps) + bias},
    "pooled without tanh": {"tanh": lambda x: x},
    "negative tokens and tokens too large": {"embed": lambda tokens, weight: weight[tokens % len(weight)]},
}
WRONG = {name: with_operation(**replaced) for name, replaced in OPERATIONS.items()} | {
    "types ignored": _in_inputs(types=lambda t: None),
    "types the other way round": _in_inputs(types=lambda t: None if t is None else 1 - t),
    "type 1 where none is given": lambda **a: refq.bert_forward(
        **(a | {"types": np.ones_like(a["tokens"]) if a["types"] is None else a["types"]})
    ),
    "first layer only": _in_config(lambda config: {"num_hidden_layers": min(config["num_hidden_layers"], 1)}),
    "one head": _in_config(lambda config: {"num_attention_heads": 1}),
    "always shared": _in_config(lambda config: {"shared_layers": True}),
    "positions ignored": _zero("position_embeddings"),
    "query and key swapped": _swapped("self.query", "self.key"),
    "the norms of a layer swapped": _swapped("0.attention.output.LayerNorm", "0.output.LayerNorm"),
    "pooled of the last token": _pooled(_of_the_last),
    "pooled of the mean": _pooled(_of_the_mean),
    "hidden of the first token": lambda **a: (lambda h, p: (h[:, :1], p))(*refq.bert_forward(**a)),
    "a norm before each sum": _pre_norm,
    "the projection forgotten": lambda **a: refq.bert_forward(
        **(a | {"params": {n: w for n, w in a["params"].items() if "mapping_in" not in n}})
    ),
}
