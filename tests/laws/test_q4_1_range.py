"""Laws of q4_1_range."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.presets import absmax, check_form, group_arguments, width, wrong
from tests.support import both

arguments = group_arguments


@both
@given(arguments())
def test_form(engine, arguments):
    check_form(engine.q4_1_range, arguments, (0, 15))


@both
@given(arguments())
def test_both_ends_are_codes(engine, arguments):
    groups = arguments["groups"]
    scale, minimum, qmin, qmax = engine.q4_1_range(groups)
    np.testing.assert_array_equal(minimum, groups.min(axis=-1, keepdims=True))
    np.testing.assert_allclose(15 * scale + minimum, groups.max(axis=-1, keepdims=True), atol=1e-5, rtol=1e-6)


@both
@given(arguments())
def test_negating_swaps_the_ends(engine, arguments):
    scale = engine.q4_1_range(arguments["groups"])[0]
    np.testing.assert_array_equal(engine.q4_1_range(-arguments["groups"])[0], scale)


WRONG = {
    "0 forced into the range": lambda groups: (
        refq.compressed_tensors_range(groups, symmetric=False)[0],
        np.minimum(groups.min(-1, keepdims=True), 0),
        0,
        15,
    ),
    "product with the reciprocal": wrong("q4_1_range", lambda x, s, qmax: width(x) * (np.float32(1) / np.float32(15))),
    "a step too many": wrong("q4_1_range", lambda x, s, qmax: s * np.float32(15 / 16)),
    "symmetric": wrong("q4_1_range", lambda x, s, qmax: absmax(x) / np.float32(7.5)),
    "minus the minimum, as the K formats have it": wrong("q4_1_range", point=lambda x, s, m: -m),
    "rounded to float16": wrong("q4_1_range", lambda x, s, qmax: s.astype(np.float16)),
    "constant groups give scale 1": wrong("q4_1_range", lambda x, s, qmax: np.where(s == 0, 1, s)),
}
