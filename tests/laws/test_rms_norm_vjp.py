"""Laws of rms_norm_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_rms_norm
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_rms_norm.arguments())
    return {"g": draw(tenths(forward["x"].shape))} | forward


def edges():
    for forward in test_rms_norm.edges():
        yield {"g": normal(4, *forward["x"].shape)} | forward


def bound(arguments, expected):
    g, x, weight = (arguments[name].astype(np.float64) for name in ("g", "x", "weight"))
    root = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + arguments["eps"])
    n, h = np.abs(x / root), np.abs(g * weight)
    gx = (h + n * np.mean(h * n, axis=-1, keepdims=True)) / root
    gweight = (np.abs(g) * n).reshape(-1, len(weight)).sum(axis=0)
    columns = len(weight)
    return [cost(gx, 3 * columns + 20), cost(gweight, x.size // columns + columns + 10)]


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.rms_norm_vjp, arguments)


@both
@given(arguments())
def test_no_slope_along_x(engine, arguments):
    x = arguments["x"]
    gx, _ = engine.rms_norm_vjp(**(arguments | {"eps": 1e-20}))
    size = np.sqrt((x.astype(np.float64) ** 2).mean(axis=-1))
    along = np.where(size > 0, (gx.astype(np.float64) * x).mean(axis=-1), 0)
    np.testing.assert_allclose(along, 0, atol=1e-4)


@both
@given(arguments())
def test_the_slope_along_weight_is_the_result(engine, arguments):
    _, gweight = engine.rms_norm_vjp(**arguments)
    along = (arguments["g"] * engine.rms_norm(**{k: v for k, v in arguments.items() if k != "g"})).sum()
    np.testing.assert_allclose((gweight * arguments["weight"]).sum(), along, atol=1e-3)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.rms_norm_vjp, arguments | {"eps": 0.25})


def _constant_root(g, x, weight, eps):
    root = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(eps))
    return g * weight / root, refq.rms_norm_vjp(g, x, weight, eps)[1]


def _wrong(gx=lambda v, a: v, gweight=lambda v, a: v):
    def rms_norm_vjp(**arguments):
        first, second = refq.rms_norm_vjp(**arguments)
        return gx(first, arguments), gweight(second, arguments)

    return rms_norm_vjp


WRONG = {
    "root as a constant": _constant_root,
    "weight forgotten": _wrong(gx=lambda v, a: refq.rms_norm_vjp(**(a | {"weight": np.ones_like(a["weight"])}))[0]),
    "eps forgotten": _wrong(gx=lambda v, a: refq.rms_norm_vjp(**(a | {"eps": 1e-30}))[0]),
    "gweight averaged": _wrong(gweight=lambda v, a: v * np.float32(len(v) / a["x"].size)),
    "gweight of the last row": _wrong(
        gweight=lambda v, a: refq.rms_norm_vjp(
            a["g"].reshape(-1, len(v))[-1], a["x"].reshape(-1, len(v))[-1], v, a["eps"]
        )[1]
    ),
    "gweight without the norm": _wrong(gweight=lambda v, a: (a["g"] * a["x"]).reshape(-1, len(v)).sum(axis=0)),
}
