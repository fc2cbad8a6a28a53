"""Laws of normalized_lsq_scale."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import cost
from tests.laws.test_normalized_lsq import gamma
from tests.support import both, floats32, half_grid, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    groups = draw(half_grid(shape) | floats32(shape))
    return {"groups": groups, "bits": draw(st.integers(1, 16)), "signed": draw(st.booleans())}


def bound(arguments, expected):
    return cost(expected, 1)


@both
@given(arguments())
def test_powers_of_two_scale_it(engine, arguments):
    scale = engine.normalized_lsq_scale(**arguments)
    zero = (arguments["groups"] == 0).all(axis=-1, keepdims=True)
    arguments["groups"] = arguments["groups"] * np.float32(8)
    eight = engine.normalized_lsq_scale(**arguments)
    np.testing.assert_array_equal(eight, np.where(zero, scale, scale * 8))


@both
@given(arguments())
def test_codes_are_those_of_lsq_at_its_start(engine, arguments):
    arguments["bits"] = max(arguments["bits"], 2)
    groups, bits, signed = arguments.values()
    limits = engine.integer_range(bits, signed)
    x_hat = engine.normalized_lsq(groups, engine.normalized_lsq_scale(**arguments), bits, signed)
    q = engine.quantize(groups, engine.lsq_scale(groups, limits[1]), 0, *limits)
    np.testing.assert_array_equal(x_hat * gamma(bits, signed), q)


@both
@given(arguments())
def test_a_group_of_zeros_gets_gamma(engine, arguments):
    arguments["groups"] = arguments["groups"] * 0
    assert (engine.normalized_lsq_scale(**arguments) == gamma(arguments["bits"], arguments["signed"])).all()


def _wrong(factor=lambda bits, signed: gamma(bits, signed), high=None, zero=None, axis=-1):
    def normalized_lsq_scale(groups, bits, signed=True):
        refq.normalized_lsq_scale(groups, bits, signed)  # for the errors
        largest = 1 if bits == 1 else refq.integer_range(bits, signed)[1] if high is None else high(bits)
        mean = np.broadcast_to(np.abs(groups).mean(axis=axis, keepdims=True), (*groups.shape[:-1], 1))
        scale = factor(bits, signed) * 2 * mean / np.sqrt(np.float32(largest))
        return np.where(mean == 0, gamma(bits, signed) if zero is None else zero, scale).astype(groups.dtype)

    return normalized_lsq_scale


WRONG = {
    "the step of lsq": _wrong(factor=lambda bits, signed: np.float32(1)),
    "always signed": lambda groups, bits, signed=True: refq.normalized_lsq_scale(groups, bits),
    "root of gamma": _wrong(high=lambda bits: 2 ** (bits - 1)),
    "multiplied by the largest code": _wrong(
        factor=lambda bits, signed: np.float32(1 if bits == 1 else refq.integer_range(bits, signed)[1])
    ),
    "largest magnitude": lambda groups, bits, signed=True: (
        np.abs(groups).max(axis=-1, keepdims=True) + 0 * refq.normalized_lsq_scale(groups, bits, signed)
    ),
    "zeros give 1": _wrong(zero=1),
    "one scale for all": _wrong(axis=None),
}
