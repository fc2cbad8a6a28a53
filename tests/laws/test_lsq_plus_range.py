"""Laws of lsq_plus_range."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both, floats32, half_grid, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    qmin, qmax = refq.integer_range(draw(st.integers(2, 8)), draw(st.booleans()))
    return {"groups": draw(half_grid(shape) | floats32(shape)), "qmin": qmin, "qmax": qmax}


@both
@given(arguments())
def test_keeps_both_ends(engine, arguments):
    groups, ends = arguments["groups"], (arguments["qmin"], arguments["qmax"])
    scale, offset = engine.lsq_plus_range(**arguments)
    x_hat = engine.lsq_plus(groups, scale, offset, *ends)
    rounding = 1e-6 * (np.abs(offset) + 2**8 * scale)
    for pick in (np.min, np.max):
        assert (np.abs(pick(x_hat, axis=-1, keepdims=True) - pick(groups, axis=-1, keepdims=True)) <= rounding).all()


@both
@given(arguments())
def test_steps_are_above_zero(engine, arguments):
    scale, offset = engine.lsq_plus_range(**arguments)
    assert scale.shape == offset.shape == (*arguments["groups"].shape[:-1], 1)
    assert (scale > 0).all()


@both
@given(arguments())
def test_powers_of_two_scale_both(engine, arguments):
    groups = arguments["groups"]
    flat = groups.min(axis=-1, keepdims=True) == groups.max(axis=-1, keepdims=True)
    one, eight = engine.lsq_plus_range(**arguments), engine.lsq_plus_range(**(arguments | {"groups": groups * 8}))
    for a, b in zip(one, eight, strict=True):
        np.testing.assert_array_equal(np.where(flat, 0, b), np.where(flat, 0, a * 8))


def _wrong(
    inside=lambda low, high: (low, high), steps=lambda qmin, qmax: qmax - qmin, place=lambda low, s, q: low - q * s
):
    def lsq_plus_range(groups, qmin, qmax):
        low, high = inside(groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True))
        scale = (high - low) / np.float32(steps(qmin, qmax))
        scale = np.where(scale == 0, np.float32(1), scale)
        return scale, place(low, scale, np.float32(qmin)).astype(np.float32)

    return lsq_plus_range


WRONG = {
    "0 forced inside": _wrong(lambda low, high: (np.minimum(low, 0), np.maximum(high, 0))),
    "one step too many": _wrong(steps=lambda qmin, qmax: qmax - qmin + 1),
    "offset is the smallest": _wrong(place=lambda low, scale, qmin: low),
    "offset of the other sign": _wrong(place=lambda low, scale, qmin: low + qmin * scale),
    "symmetric": _wrong(lambda low, high: (-np.maximum(-low, high), np.maximum(-low, high))),
}
