"""Laws of gelu_tanh."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import test_gelu
from tests.laws.operations import assert_float64_is_kept, assert_mirrored, assert_relu_far_out, cost
from tests.laws.test_gelu import erf_form
from tests.support import both

arguments, edges = test_gelu.arguments, test_gelu.edges


def bound(arguments, expected):
    return cost(np.abs(arguments["x"]), 20)


@both
@given(arguments())
def test_mirrored(engine, arguments):
    assert_mirrored(engine.gelu_tanh, arguments["x"])


@both
@given(arguments())
def test_near_gelu(engine, arguments):
    np.testing.assert_allclose(engine.gelu_tanh(**arguments), refq.gelu(**arguments), atol=5e-4)


@both
def test_far_out(engine):
    assert_relu_far_out(engine.gelu_tanh, 1e-36)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.gelu_tanh, arguments)


def wrong(cubic=0.044715, factor=(2 / np.pi) ** 0.5, power=3):
    def gelu_tanh(x):
        c = np.clip(x.astype(np.float64), -40, 40)
        return (x / 2 * (1 + np.tanh(factor * (c + cubic * c**power)))).astype(np.float32)

    return gelu_tanh


def _overflowing(x):
    with np.errstate(all="ignore"):
        e = np.exp(2 * np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x * x * x))
        return x * (e / (e + 1))


WRONG = {
    "by erf": erf_form,
    "without the cubic term": wrong(cubic=0),
    "0.04 in the cubic term": wrong(cubic=0.04),
    "a square in place of the cube": wrong(power=2),
    "factor 2 / pi": wrong(factor=2 / np.pi),
    "factor 1": wrong(factor=1),
    "not halved": lambda x: 2 * wrong()(x),
    "of -x": lambda x: wrong()(-x),
    "quotient of exponentials": _overflowing,
    "integers accepted": lambda x: wrong()(np.asarray(x, np.float32)),
}
