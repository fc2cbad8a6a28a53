"""Laws of q4_0_range."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.presets import absmax, group_arguments, wrong
from tests.support import both

arguments = group_arguments


@both
@given(arguments())
def test_form(engine, arguments):
    scale, zero_point, *limits = engine.q4_0_range(**arguments)
    assert limits == [0, 15]
    assert (zero_point == 8).all()
    np.testing.assert_array_equal(np.abs(scale), absmax(arguments["groups"]) / 8)


@both
@given(arguments())
def test_the_first_of_the_largest_gets_code_0(engine, arguments):
    groups = arguments["groups"]
    scale, *_ = engine.q4_0_range(groups)
    for group, step in zip(groups, scale, strict=True):
        if step != 0:
            largest = group[np.flatnonzero(np.abs(group) == np.abs(group).max())[0]]
            assert engine.quantize(largest, step[0], 8, 0, 15) == 0


@both
@given(arguments())
def test_odd(engine, arguments):
    scale = engine.q4_0_range(arguments["groups"])[0]
    np.testing.assert_array_equal(engine.q4_0_range(-arguments["groups"])[0], -scale)


@both
@given(arguments())
def test_only_values_beyond_code_15_lose_more_than_half_a_step(engine, arguments):
    groups = arguments["groups"][arguments["groups"].any(axis=-1)]
    scale, *rest = engine.q4_0_range(groups)
    inside = groups / scale <= 7
    error = np.abs(engine.fake_quantize(groups, scale, *rest) - groups)
    assert (error <= np.abs(scale) * np.where(inside, 0.5001, 1.0001)).all()


WRONG = {
    "the scale without a sign": wrong("q4_0_range", lambda x, s, qmax: np.abs(s)),
    "the sign of the largest value": wrong("q4_0_range", lambda x, s, qmax: -s),
    "the last of equals": wrong("q4_0_range", lambda x, s, qmax: refq.q4_0_range(x[..., ::-1])[0]),
    "max |x| over 7": wrong("q4_0_range", lambda x, s, qmax: s * np.float32(8 / 7)),
    "rounded to float16": wrong("q4_0_range", lambda x, s, qmax: s.astype(np.float16)),
    "zero point 0": wrong("q4_0_range", point=lambda x, s, z: z * 0),
    "signed codes": lambda groups: (refq.q4_0_range(groups)[0], refq.q4_0_range(groups)[1] * 0, -8, 7),
    "zeros give scale 1": wrong("q4_0_range", lambda x, s, qmax: np.where(absmax(x) == 0, 1, s)),
}
