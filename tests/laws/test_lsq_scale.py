"""Laws of lsq_scale."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import refq
from tests.laws.operations import cost
from tests.support import both, floats32, half_grid, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    return {"groups": draw(half_grid(shape) | floats32(shape)), "qmax": draw(st.integers(1, 300))}


def bound(arguments, expected):
    return cost(expected, 1)


@both
@given(arguments())
def test_powers_of_two_scale_it(engine, arguments):
    scale = engine.lsq_scale(**arguments)
    eight = engine.lsq_scale(arguments["groups"] * np.float32(8), arguments["qmax"])
    zero = (arguments["groups"] == 0).all(axis=-1, keepdims=True)
    assume((scale >= 2.0**-100).all())  # nothing on the way to it is subnormal
    np.testing.assert_array_equal(eight, np.where(zero, 1, scale * 8))


@both
@given(arguments())
def test_signs_and_order_do_not_matter(engine, arguments):
    scale = engine.lsq_scale(**arguments)
    turned = engine.lsq_scale(-arguments["groups"][..., ::-1], arguments["qmax"])
    np.testing.assert_allclose(turned, scale, rtol=1e-7)


@both
@given(arguments())
def test_above_zero_and_of_one_shape(engine, arguments):
    scale = engine.lsq_scale(**arguments)
    assert scale.shape == (*arguments["groups"].shape[:-1], 1)
    assert (scale > 0).all()


@both
def test_no_float32_sum_overflows(engine):
    assert engine.lsq_scale(np.full((1, 8), 3e38, np.float32), 7)[0, 0] == np.float32(6e38 / np.sqrt(7))
    with pytest.raises(refq.errors.GridError, match="overflows float32"):
        engine.lsq_scale(np.full((1, 8), 3e38, np.float32), 1)


def _wrong(factor=2, magnitude=np.abs, root=np.sqrt, axis=-1):
    def lsq_scale(groups, qmax):
        scale = factor * magnitude(groups).mean(axis=axis, keepdims=True) / root(qmax)
        return np.broadcast_to(np.where(scale == 0, 1, scale), (*groups.shape[:-1], 1)).astype(groups.dtype)

    return lsq_scale


WRONG = {
    "no factor 2": _wrong(factor=1),
    "mean of the values": _wrong(magnitude=lambda x: x),
    "root of the mean square": _wrong(
        magnitude=lambda x: np.broadcast_to(np.sqrt((x * x).mean(-1, keepdims=True)), x.shape)
    ),
    "no root": _wrong(root=lambda qmax: qmax),
    "root of the number of codes": _wrong(root=lambda qmax: np.sqrt(2 * qmax + 1)),
    "one scale for all": _wrong(axis=None),
    "largest in place of the mean": _wrong(
        magnitude=lambda x: np.broadcast_to(np.abs(x).max(-1, keepdims=True), x.shape)
    ),
    "zero stays zero": lambda groups, qmax: (2 * np.abs(groups).mean(-1, keepdims=True) / np.sqrt(qmax)).astype(
        groups.dtype
    ),
}
