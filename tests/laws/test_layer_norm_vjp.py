"""Laws of layer_norm_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_layer_norm
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_layer_norm.arguments())
    return {"g": draw(tenths(forward["x"].shape))} | forward


def edges():
    for forward in test_layer_norm.edges():
        yield {"g": normal(4, *forward["x"].shape)} | forward


def bound(arguments, expected):
    n, root, off = test_layer_norm.parts(arguments["x"], arguments["eps"])
    g = np.abs(arguments["g"].astype(np.float64))
    h, n, columns = g * np.abs(arguments["weight"]), np.abs(n), n.shape[-1]

    def mean(values):
        return values.mean(axis=-1, keepdims=True)

    relative = 2 * (mean(n * off) + off.max(axis=-1, keepdims=True) / root)  # of the root
    moved = off * mean(h * n) + n * mean(h * off) + relative * (h + mean(h) + n * mean(h * n))
    gx = cost((h + mean(h) + n * mean(h * n)) / root, 4 * columns + 20) + 2 * moved / root

    def summed(values):
        return values.reshape(-1, columns).sum(axis=0)

    terms = n.size // columns + 2
    return [gx, cost(summed(g * n), terms + 4) + 2 * summed(g * off), cost(summed(g), terms)]


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.layer_norm_vjp, arguments)


@both
@given(arguments())
def test_no_slope_along_a_shift_or_along_x(engine, arguments):
    arguments |= {"eps": 1e-12}
    gx, *_ = (part.astype(np.float64) for part in engine.layer_norm_vjp(**arguments))
    n, root, _ = test_layer_norm.parts(arguments["x"], arguments["eps"])
    seen = np.ptp(arguments["x"], axis=-1) > 0
    np.testing.assert_allclose((gx * root).mean(axis=-1)[seen], 0, atol=1e-4)
    np.testing.assert_allclose((gx * root * n).mean(axis=-1)[seen], 0, atol=1e-4)


@both
@given(arguments())
def test_the_slopes_along_weight_and_bias_are_the_result(engine, arguments):
    _, gweight, gbias = engine.layer_norm_vjp(**arguments)
    y = engine.layer_norm(**{k: v for k, v in arguments.items() if k != "g"})
    along = (gweight * arguments["weight"]).sum() + (gbias * arguments["bias"]).sum()
    np.testing.assert_allclose(along, (arguments["g"] * y).sum(), atol=1e-2)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.layer_norm_vjp, arguments | {"eps": 0.25})


def _root_constant(g, x, weight, bias, eps):
    h = g * weight
    root = np.sqrt(np.var(x, axis=-1, keepdims=True) + np.float32(eps))
    return (h - h.mean(axis=-1, keepdims=True)) / root, *refq.layer_norm_vjp(g, x, weight, bias, eps)[1:]


def _mean_constant(g, x, weight, bias, eps):
    gx, *others = refq.layer_norm_vjp(g, x, weight, bias, eps)
    root = np.sqrt(np.var(x, axis=-1, keepdims=True) + np.float32(eps))
    return gx + (g * weight).mean(axis=-1, keepdims=True) / root, *others


def _wrong(*edits):
    def layer_norm_vjp(**arguments):
        return [edit(v, arguments) for edit, v in zip(edits, refq.layer_norm_vjp(**arguments), strict=True)]

    return layer_norm_vjp


def _same(v, a):
    return v


def _with(**changes):
    return lambda v, a: refq.layer_norm_vjp(**(a | {k: change(a) for k, change in changes.items()}))[0]


def _last(v, a):
    return a["g"].reshape(-1, len(v))[-1]


def _averaged(v, a):
    return v * np.float32(len(v) / max(a["x"].size, 1))


WRONG = {
    "root as a constant": _root_constant,
    "mean as a constant": _mean_constant,
    "weight forgotten": _wrong(_with(weight=lambda a: np.ones_like(a["weight"])), _same, _same),
    "eps forgotten": _wrong(_with(eps=lambda a: 1e-30), _same, _same),
    "gweight averaged": _wrong(_same, _averaged, _same),
    "gbias averaged": _wrong(_same, _same, _averaged),
    "gbias of the last row": _wrong(_same, _same, _last),
    "gweight without the norm": _wrong(_same, lambda v, a: (a["g"] * a["x"]).reshape(-1, len(v)).sum(axis=0), _same),
    "gbias times the weight": _wrong(_same, _same, lambda v, a: v * a["weight"]),
}
