"""Laws of hqq_range."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.presets import absmax, check_form, check_nothing_is_clipped, group_arguments, width, wrong
from tests.support import both

arguments = group_arguments


@both
@given(arguments())
def test_form(engine, arguments):
    check_form(engine.hqq_range, arguments, (0, 15))


@both
@given(arguments())
def test_a_wide_group_loses_at_most_a_step(engine, arguments):
    groups = arguments["groups"]
    scale, zero_point, qmin, qmax = engine.hqq_range(groups[width(groups)[:, 0] > 0.01])
    groups = groups[width(groups)[:, 0] > 0.01]
    check_nothing_is_clipped(engine, groups, (scale, zero_point, qmin - 1, qmax + 1))


@both
@given(arguments())
def test_the_step_has_a_floor(engine, arguments):
    scale = engine.hqq_range(arguments["groups"])[0]
    assert (scale >= np.float32(1 / 20000)).all()
    assert (scale[width(arguments["groups"]) <= 1e-4] == 1).all()


WRONG = {
    "one division": wrong("hqq_range", lambda x, s, qmax: np.where(width(x) < 1e-3, s, width(x) / np.float32(15))),
    "two divisions": wrong(
        "hqq_range",
        lambda x, s, qmax: np.where(width(x) < 1e-3, s, 1 / (np.float32(15) / np.maximum(width(x), np.float32(1e-3)))),
    ),
    "0 forced into the range": lambda groups: refq.gptq_range(groups, symmetric=False),
    "zero point clipped": wrong("hqq_range", point=lambda x, s, z: np.clip(z, 0, 15)),
    "no flat groups": wrong("hqq_range", lambda x, s, qmax: np.where(width(x) <= 1e-4, np.float32(1 / 20000), s)),
    "the inverse without a cap": wrong(
        "hqq_range", lambda x, s, qmax: np.where(width(x) <= 1e-4, s, width(x) / np.float32(15))
    ),
    "0.0001 is not flat": wrong(
        "hqq_range", lambda x, s, qmax: np.where((width(x) < np.float32(1e-4)) | (s != 1), s, np.float32(1 / 20000))
    ),
    "ties up": wrong("hqq_range", point=lambda x, s, z: np.where(s == 1, np.floor(0.5 - x.min(-1, keepdims=True)), z)),
    "symmetric": wrong("hqq_range", lambda x, s, qmax: absmax(x) / np.float32(7.5)),
}
