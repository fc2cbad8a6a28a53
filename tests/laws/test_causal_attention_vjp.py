"""Laws of causal_attention_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_causal_attention
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_causal_attention.arguments())
    return {"g": draw(tenths(forward["q"].shape))} | forward


def edges():
    for forward in test_causal_attention.edges():
        yield {"g": normal(4, *forward["q"].shape)} | forward


def bound(arguments, expected):
    g, q, k, v = (np.abs(array.astype(np.float64)) for array in arguments.values())
    p, relative = test_causal_attention.weights(arguments["q"], arguments["k"])
    R, T, d, S = *q.shape[-3:], k.shape[-2]
    gp = g @ v[:, :, None].swapaxes(-1, -2)
    gscores = p * (gp + (p * gp).sum(axis=-1, keepdims=True)) / np.sqrt(d)
    roundings = (2 * relative + 2 * S + d + 8).max() + R * T
    gk, gv = ((w.swapaxes(-1, -2) @ a).sum(axis=2) for w, a in ((gscores, q), (p, g)))
    return [cost(magnitude, roundings) for magnitude in (gscores @ k[:, :, None], gk, gv)]


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.causal_attention_vjp, arguments)


@both
@given(arguments())
def test_the_gradients_of_values_sum_to_g(engine, arguments):
    *_, gv = engine.causal_attention_vjp(**arguments)
    np.testing.assert_allclose(gv.sum(axis=2), arguments["g"].sum(axis=(2, 3)), atol=1e-4)


@both
@given(arguments())
def test_a_key_that_no_query_sees(engine, arguments):
    g = arguments["g"].copy()
    g[..., 1:, :] = 0  # only the first query counts
    _, gk, gv = engine.causal_attention_vjp(**(arguments | {"g": g}))
    seen = arguments["k"].shape[2] - g.shape[-2] + 1
    assert not gk[:, :, seen:].any()
    assert not gv[:, :, seen:].any()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.causal_attention_vjp, arguments)


def _slopes(function):
    """The gradients of a function in float64, by central differences: of a wrong attention, for instance."""

    def vjp(g, q, k, v):
        refq.causal_attention_vjp(g, q, k, v)
        arrays, found = [a.astype(np.float64) for a in (q, k, v)], []
        for n, array in enumerate(arrays):
            slope = np.zeros(array.shape)
            for index in np.ndindex(array.shape):
                for step in (1e-3, -1e-3):
                    moved = [a.copy() for a in arrays]
                    moved[n][index] += step
                    slope[index] += (g * function(*(a.astype(np.float64) for a in moved))).sum() / (2 * step)
            found.append(slope.astype(np.float32))
        return found

    return vjp


def _edited(gq=lambda v: v, gk=lambda v: v, gv=lambda v: v):
    def vjp(**arguments):
        return [edit(v) for edit, v in zip((gq, gk, gv), refq.causal_attention_vjp(**arguments), strict=True)]

    return vjp


def _one_query_a_head(g, q, k, v):
    gq, _, _ = refq.causal_attention_vjp(g, q, k, v)
    return gq, *refq.causal_attention_vjp(g[:, :, :1], q[:, :, :1], k, v)[1:]


def _mean_over_queries(g, q, k, v):
    gq, gk, gv = refq.causal_attention_vjp(g, q, k, v)
    return gq, gk / np.float32(q.shape[2]), gv / np.float32(q.shape[2])


WRONG = {
    f"of attention with: {name}": _slopes(test_causal_attention.wrong(**mistake))
    for name, mistake in test_causal_attention.MISTAKES.items()
    if name not in ("masked by -10000", "does not see itself")
} | {
    "gq without the scale": _edited(gq=lambda v: v * np.float32(v.shape[-1] ** 0.5)),
    "gk without the scale": _edited(gk=lambda v: v * np.float32(v.shape[-1] ** 0.5)),
    "gk and gv of one query a head": _one_query_a_head,
    "gk and gv averaged over the queries of a head": _mean_over_queries,
    "gk and gv swapped": lambda g, q, k, v: [refq.causal_attention_vjp(g, q, k, v)[i] for i in (0, 2, 1)],
}
