"""Laws of layer_norm."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.operations import EDGES, UNIT, assert_float64_is_kept, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    shape = draw(st.sampled_from([(1,), (5,), (3, 4), (2, 2, 3), (0, 4), (2, 1)]))
    eps = draw(st.sampled_from([1e-12, 1e-5, 0.25]))
    weight, bias = draw(tenths(shape[-1:])), draw(tenths(shape[-1:]))
    return {"x": draw(tenths(shape)), "weight": weight, "bias": bias, "eps": eps}


def edges():
    for rows, columns in EDGES:
        yield {"x": normal(1, rows, columns), "weight": normal(2, columns), "bias": normal(3, columns), "eps": 1e-12}


def parts(x, eps):
    """In float64: the normalised vectors, their roots, and how far the normalised ones may be off in float32."""
    x, columns = x.astype(np.float64), x.shape[-1]
    c = x - x.mean(axis=-1, keepdims=True)
    root = np.sqrt((c * c).mean(axis=-1, keepdims=True) + eps)
    n, off = c / root, (columns + 2) * UNIT * (np.abs(x) + np.abs(x).mean(axis=-1, keepdims=True)) / root
    relative = (np.abs(n) * off).mean(axis=-1, keepdims=True) + (columns + 6) * UNIT
    return n, root, off + np.abs(n) * relative


def bound(arguments, expected):
    n, _, off = parts(arguments["x"], arguments["eps"])
    weight, bias = (np.abs(arguments[name].astype(np.float64)) for name in ("weight", "bias"))
    return 2 * off * weight + cost(np.abs(n) * weight + bias, 2)


@both
@given(arguments())
def test_the_scale_of_x_cancels(engine, arguments):
    scaled = arguments | {"x": arguments["x"] * 2, "eps": arguments["eps"] * 4}
    np.testing.assert_array_equal(engine.layer_norm(**scaled), engine.layer_norm(**arguments))


@both
@given(arguments(), st.integers(-30, 30))
def test_a_number_added_to_all_changes_little(engine, arguments, shift):
    y, moved = engine.layer_norm(**arguments), arguments | {"x": arguments["x"] + np.float32(shift)}
    rounding = 2 * UNIT * np.abs(moved["x"]) / parts(arguments["x"], arguments["eps"])[1]
    slack = (2 + arguments["x"].shape[-1]) * rounding.max(initial=0) * np.abs(arguments["weight"])
    difference = np.abs(engine.layer_norm(**moved) - y)
    assert (difference <= bound(arguments, y) + bound(moved, y) + slack).all()


@both
@given(arguments())
def test_mean_0_and_variance_1(engine, arguments):
    plain = {"weight": np.ones_like(arguments["weight"]), "bias": np.zeros_like(arguments["bias"]), "eps": 1e-12}
    y = engine.layer_norm(**(arguments | plain)).astype(np.float64)
    y = y[np.ptp(arguments["x"], axis=-1) > 0]
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose((y * y).mean(axis=-1), 1, atol=1e-4)


@both
@given(arguments())
def test_each_vector_by_itself(engine, arguments):
    y, x = engine.layer_norm(**arguments), arguments["x"]
    if x.ndim > 1 and len(x):
        last = engine.layer_norm(**(arguments | {"x": x[-1]}))
        np.testing.assert_allclose(last, y[-1], atol=bound(arguments, y).max())


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.layer_norm, arguments | {"eps": 0.25})


def _variance(c, x):
    return np.mean(c * c, axis=-1, keepdims=True)


def wrong(variance=_variance, root=lambda v, eps: np.sqrt(v + eps), centre=True, axis=-1):
    def layer_norm(x, weight, bias, eps):
        c = x - x.mean(axis=axis, keepdims=True) if centre else x
        with np.errstate(all="ignore"):
            return (c / root(variance(c, x), np.float32(eps)) * weight + bias).astype(np.float32)

    return layer_norm


def _one_pass(c, x):
    return np.mean(x * x, axis=-1, keepdims=True) - np.mean(x, axis=-1, keepdims=True) ** 2


WRONG = {
    "eps outside the root": wrong(root=lambda v, eps: np.sqrt(v) + eps),
    "eps forgotten": wrong(root=lambda v, eps: np.sqrt(v)),
    "eps as a floor": wrong(root=lambda v, eps: np.sqrt(np.maximum(v, eps))),
    "eps of 1e-5 whatever is asked": wrong(root=lambda v, eps: np.sqrt(v + np.float32(1e-5))),
    "mean not subtracted": wrong(centre=False),
    "mean subtracted for the variance alone": lambda x, weight, bias, eps: (
        x / np.sqrt(np.var(x, axis=-1, keepdims=True) + np.float32(eps)) * weight + bias
    ),
    "mean over everything": wrong(axis=None),
    "mean of squares less square of the mean": wrong(variance=_one_pass),
    "divided by n - 1": wrong(variance=lambda c, x: np.sum(c * c, axis=-1, keepdims=True) / max(x.shape[-1] - 1, 1)),
    "mean of absolutes": wrong(variance=lambda c, x: np.mean(np.abs(c), axis=-1, keepdims=True) ** 2),
    "weight plus one": lambda x, weight, bias, eps: wrong()(x, weight + 1, bias, eps),
    "bias before the weight": lambda x, weight, bias, eps: wrong()(x, weight, bias * weight, eps),
    "bias ignored": lambda x, weight, bias, eps: wrong()(x, weight, np.zeros_like(bias), eps),
}
