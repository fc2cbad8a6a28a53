"""Laws of llm_int8_matmul."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import EDGES, assert_float64_is_kept, cost, normal, tenths
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    n, width, out = draw(st.integers(1, 4)), draw(st.integers(1, 8)), draw(st.integers(1, 4))
    x = draw(tenths((n, width)))
    x[:, draw(st.integers(0, width - 1))] *= draw(st.sampled_from([0, 1, 1, 10]))
    return {
        "x": x.reshape(draw(st.sampled_from([(n, width), (n, 1, width)]))),
        "q": draw(int_arrays((out, width), -128, 127, np.int8)),
        "scale": np.float32(draw(st.lists(st.sampled_from([0.1, 0.5, -0.02, 1 / 3]), min_size=out, max_size=out)))[
            :, None
        ],
        "threshold": draw(st.sampled_from([6.0, 1.0, 0.1, 100.0, float("inf")])),
        "weight": draw(st.none() | tenths((out, width))),
    }


def edges():
    random = np.random.default_rng(3)
    for i, (n, width) in enumerate([*EDGES, (3, 2500)]):
        x = normal(i, n, width)
        x[0, ::50] *= 20
        q = random.integers(-127, 128, (70, width)).astype(np.int8)
        scale = random.uniform(0.01, 0.1, (70, 1)).astype(np.float32)
        yield {"x": x, "q": q, "scale": scale, "threshold": 6.0, "weight": normal(9, 70, width) if i % 2 else None}


def bound(arguments, expected):
    """The floats of inputs with outliers are summed in another order; the rest is the same."""
    x = np.abs(arguments["x"].astype(np.float64))
    w = np.abs(arguments["q"] * arguments["scale"].astype(np.float64))
    weight = arguments.get("weight")
    w = w if weight is None else np.maximum(w, np.abs(weight))
    return cost(x @ w.T, x.shape[-1] + 6)


@both
@given(arguments())
def test_float_weights_for_outliers_alone_are_exact(engine, arguments):
    """A threshold so low that only zeros are no outliers: what is left is linear."""
    arguments |= {"threshold": 1e-6, "weight": (arguments["q"] * arguments["scale"]).astype(np.float32)}
    expected = refq.linear(arguments["x"].astype(np.float64), arguments["weight"].astype(np.float64))
    assert (np.abs(engine.llm_int8_matmul(**arguments) - expected) <= bound(arguments, None)).all()


@both
@given(arguments())
def test_without_outliers_off_by_half_a_step_at_most(engine, arguments):
    arguments |= {"threshold": float("inf"), "weight": None}
    x, w = (v.astype(np.float64) for v in (arguments["x"], arguments["q"] * arguments["scale"]))
    half = np.abs(x).max(axis=-1, keepdims=True) / 254 * np.abs(w).sum(axis=-1)
    error = np.abs(engine.llm_int8_matmul(**arguments) - x @ w.T)
    assert (error <= half * 1.001 + bound(arguments, None) + 1e-25).all()


@both
@given(arguments())
def test_powers_of_two(engine, arguments):
    once = engine.llm_int8_matmul(**arguments)
    scaled = engine.llm_int8_matmul(**arguments | {"x": arguments["x"] * 8, "threshold": arguments["threshold"] * 8})
    zeros = (arguments["x"] == 0).all()
    np.testing.assert_array_equal(scaled, once if zeros else once * 8)


@both
@given(arguments())
def test_the_order_of_inputs_does_not_matter(engine, arguments):
    turned = {name: arguments[name][..., ::-1] for name in ("x", "q")}
    turned["weight"] = None if arguments["weight"] is None else arguments["weight"][..., ::-1]
    difference = np.abs(engine.llm_int8_matmul(**arguments | turned) - engine.llm_int8_matmul(**arguments))
    assert (difference <= bound(arguments, None)).all()


@both
def test_one_outlier_column(engine):
    """60 times as large as the rest: the mean error falls to a third, with float weights to an eighth."""
    random = np.random.default_rng(0)
    x, w = random.standard_normal((64, 256)).astype(np.float32), random.standard_normal((128, 256)).astype(np.float32)
    x[:, 7] *= 60
    scale, zero_point = refq.minmax(w, -127, 127)
    q = refq.quantize(w, scale, zero_point, -127, 127)

    def error(threshold, weight=None):
        exact = x.astype(np.float64) @ w.T.astype(np.float64)
        return np.abs(engine.llm_int8_matmul(x, q, scale, threshold, weight) - exact).mean()

    assert error(np.inf) > 3 * error(6.0)
    assert error(np.inf) > 8 * error(6.0, w)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments["x"] = np.rint(arguments["x"] * 4) / 4  # powers of two: no tie may move
    arguments["x"][..., 0] = 127 / 4
    arguments["threshold"] = 64.0
    assert_float64_is_kept(engine.llm_int8_matmul, arguments)


def _wrong(
    large=lambda x, t: np.abs(x) >= t, reach=None, code=np.rint, any_vector=True, steps=127, mixed=True, removed=True
):
    """llm_int8_matmul with one step changed."""

    def llm_int8_matmul(x, q, scale, threshold, weight=None):
        refq.llm_int8_matmul(x, q, scale, threshold, weight)  # what it refuses
        rows = x.reshape(-1, x.shape[-1])
        outlier = large(rows, threshold)
        own = outlier
        outlier = np.broadcast_to(outlier.any(axis=0), own.shape) if any_vector else own
        a = (reach or _reach)(rows, own, outlier).max(axis=1, keepdims=True, initial=np.float32(2.0**-100))
        c = code(np.where(outlier & removed, 0, rows) * (steps / a)).clip(-128, 127)
        y = (c @ q.T.astype(np.float64)).astype(np.float32) * (a / steps * scale.T)
        w = (q * scale).astype(np.float32) if weight is None else weight
        y = y + (np.where(outlier, rows, 0) @ w.T if mixed else 0)
        return y.astype(np.float32).reshape(*x.shape[:-1], len(q))

    return llm_int8_matmul


def _reach(rows, own, outlier):
    return np.where(own, 0, np.abs(rows))


WRONG = {
    "above the threshold": _wrong(large=lambda x, t: np.abs(x) > t),
    "positive outliers alone": _wrong(large=lambda x, t: x >= t),
    "vectors decide for themselves": _wrong(any_vector=False),
    "outliers make the step": _wrong(reach=lambda rows, own, outlier: np.abs(rows)),
    "inputs with outliers do not make the step": _wrong(
        reach=lambda rows, own, outlier: np.where(outlier, 0, np.abs(rows))
    ),
    "one step for all vectors": _wrong(
        reach=lambda rows, own, outlier: np.full_like(rows, np.where(own, 0, np.abs(rows)).max(initial=0))
    ),
    "outliers dropped": _wrong(mixed=False),
    "outliers counted twice": _wrong(removed=False),
    "128 steps": _wrong(steps=128),
    "ties away from 0": _wrong(code=lambda t: np.sign(t) * np.floor(np.abs(t) + np.float32(0.5))),
    "truncated": _wrong(code=np.trunc),
    "weight ignored": lambda weight=None, **rest: refq.llm_int8_matmul(**rest),
    "weight for all": lambda weight=None, **rest: (
        refq.llm_int8_matmul(**rest) if weight is None else refq.linear(rest["x"], weight)
    ),
    "scale turned": lambda scale, **rest: refq.llm_int8_matmul(scale=scale[::-1].copy(), **rest),
    "sums of 8 bits": lambda q, **rest: refq.llm_int8_matmul(q=np.clip(q, -8, 7), **rest),
}
