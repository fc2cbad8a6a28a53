"""Laws of sigmoid_ste_vjp."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

import refq
from tests.laws import test_sigmoid_ste
from tests.laws.operations import EDGES, assert_float64_is_kept, assert_linear_in, normal, tenths
from tests.laws.soft import sigmoid, stairs
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_sigmoid_ste.arguments())
    return {"g": draw(tenths(forward["x"].shape))} | forward


def edges():
    for i, shape in enumerate([*EDGES, (600, 600)]):
        yield {"g": normal(1, *shape), "x": normal(2, *shape) * 4, "sharpness": (0, 1.0, 10.0, 100.0)[i % 4]}


def bound(arguments, expected):
    _, off = stairs(arguments["x"].astype(np.float64), arguments["sharpness"], 2.0**-24)
    return np.abs(arguments["g"]) * off


@both
@given(arguments())
@example({"g": np.float32([0.2]), "x": np.float32([0.4]), "sharpness": 1024})  # 2**-140
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.sigmoid_ste_vjp, arguments)


@both
@given(st.sampled_from([0.5, 2.0, 5.0, 10.0, 100.0]), st.integers(-3, 3))
def test_the_mean_over_a_cell_is_the_height_of_its_stair(engine, sharpness, cell):
    x = cell + (np.arange(4096) + 0.5) / 4096
    gx = engine.sigmoid_ste_vjp(np.ones_like(x), x, sharpness)
    assert abs(gx.mean() - np.tanh(sharpness / 4)) < 1e-6
    assert gx.argmax() in (2047, 2048)
    assert abs(gx.max() - sharpness / 4) < 1e-3 * sharpness
    np.testing.assert_allclose(gx, gx[::-1], rtol=1e-9)


@both
@given(arguments())
def test_repeats_with_every_whole_number(engine, arguments):
    arguments["x"] = np.rint(arguments["x"] * 64) / np.float32(64)
    moved = arguments | {"x": arguments["x"] + np.float32(3)}
    np.testing.assert_array_equal(engine.sigmoid_ste_vjp(**moved), engine.sigmoid_ste_vjp(**arguments))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments["sharpness"] = min(arguments["sharpness"], 5.0)
    assert_float64_is_kept(engine.sigmoid_ste_vjp, arguments)


def _wrong(part=np.floor, centre=0.5, height=lambda sharpness: sharpness, zero=lambda g: g):
    def sigmoid_ste_vjp(g, x, sharpness):
        gx = refq.sigmoid_ste_vjp(g, x, sharpness)  # for the errors
        s = sigmoid(sharpness * (x - part(x) - centre))
        return zero(g) if sharpness == 0 else (g * height(sharpness) * s * (1 - s) + 0 * gx).astype(x.dtype)

    return sigmoid_ste_vjp


WRONG = {
    "straight through": _wrong(height=lambda sharpness: 0, zero=lambda g: g),
    "truncation in place of floor": _wrong(part=np.trunc),
    "centred on whole numbers": _wrong(centre=0),
    "distance to the nearest": _wrong(part=np.rint, centre=0),
    "without sharpness": _wrong(height=lambda sharpness: 1),
    "normalized to mean 1": _wrong(height=lambda sharpness: sharpness / np.tanh(sharpness / 4)),
    "sharpness 0 is flat": _wrong(zero=lambda g: g * 0),
    "g squared": lambda g, x, sharpness: g * refq.sigmoid_ste_vjp(g, x, sharpness),
}
