"""Laws of q8_0_range."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.presets import absmax, check_form, check_nothing_is_clipped, group_arguments, wrong
from tests.support import both

arguments = group_arguments


@both
@given(arguments())
def test_form(engine, arguments):
    check_form(engine.q8_0_range, arguments, (-127, 127))


@both
@given(arguments())
def test_nothing_is_clipped(engine, arguments):
    groups = arguments["groups"][arguments["groups"].any(axis=-1)]
    check_nothing_is_clipped(engine, groups, engine.q8_0_range(groups))


@both
@given(arguments())
def test_even(engine, arguments):
    scale = engine.q8_0_range(arguments["groups"])[0]
    np.testing.assert_array_equal(engine.q8_0_range(-arguments["groups"])[0], scale)


WRONG = {
    "max |x| over 128": wrong("q8_0_range", lambda x, s, qmax: absmax(x) / 128),
    "max |x| over 127.5": wrong("q8_0_range", lambda x, s, qmax: absmax(x) / np.float32(127.5)),
    "the signed largest value": wrong("q8_0_range", lambda x, s, qmax: refq.q4_0_range(x)[0] * -8 / 127),
    "the full grid": lambda groups: (*refq.q8_0_range(groups)[:2], -128, 127),
    "product with the reciprocal": wrong(
        "q8_0_range", lambda x, s, qmax: absmax(x) * (np.float32(1) / np.float32(127))
    ),
    "rounded to float16": wrong("q8_0_range", lambda x, s, qmax: s.astype(np.float16)),
    "zeros give scale 1": wrong("q8_0_range", lambda x, s, qmax: np.where(s == 0, 1, s)),
}
