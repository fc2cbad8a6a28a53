"""Laws of embed_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_embed
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_embed.arguments())
    return {"g": draw(tenths((*forward["tokens"].shape, forward["weight"].shape[1])))} | forward


def edges():
    for rows, V, D in ((1, 1, 1), (33, 7, 65), (3, 9, 31), (2100, 50, 130)):
        tokens = np.random.default_rng(rows).integers(0, V, (rows, 1))
        yield {"g": normal(1, rows, 1, D), "tokens": tokens, "weight": normal(2, V, D)}


def bound(arguments, expected):
    magnitude = refq.embed_vjp(**(arguments | {"g": np.abs(arguments["g"])}))
    return cost(magnitude, arguments["tokens"].size + 1)


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.embed_vjp, arguments)


@both
@given(arguments())
def test_the_columns_sum_to_those_of_g(engine, arguments):
    gweight, g = engine.embed_vjp(**arguments), arguments["g"].reshape(-1, arguments["weight"].shape[1])
    np.testing.assert_allclose(gweight.sum(axis=0), g.sum(axis=0), atol=1e-5)


@both
@given(arguments())
def test_a_token_that_does_not_occur_has_no_gradient(engine, arguments):
    gweight = engine.embed_vjp(**arguments)
    absent = np.setdiff1d(np.arange(len(gweight)), arguments["tokens"])
    assert not gweight[absent].any()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.embed_vjp, arguments)


def _indexed(g, tokens, weight):
    gweight = np.zeros_like(weight)
    gweight[tokens] += g
    return gweight


def _averaged(g, tokens, weight):
    gweight = refq.embed_vjp(g, tokens, weight)
    count = np.bincount(tokens.ravel(), minlength=len(weight))
    return (gweight / np.maximum(count, 1)[:, None]).astype(np.float32)


WRONG = {
    "a repeated token counted once": _indexed,
    "a repeated token averaged": _averaged,
    "added to the weight": lambda g, tokens, weight: weight + refq.embed_vjp(g, tokens, weight),
    "mean over tokens": lambda g, tokens, weight: refq.embed_vjp(g, tokens, weight) / np.float32(tokens.size),
}
