"""Laws of awq_range."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.presets import absmax, check_form, check_nothing_is_clipped, preset_arguments, width, wrong
from tests.support import both

arguments = preset_arguments


@both
@given(arguments())
def test_form(engine, arguments):
    check_form(engine.awq_range, arguments, refq.integer_range(arguments["bits"], arguments["symmetric"]))


@both
@given(arguments())
def test_symmetric_clips_nothing(engine, arguments):
    arguments["symmetric"] = True
    check_nothing_is_clipped(engine, arguments["groups"], engine.awq_range(**arguments))


@both
@given(arguments())
def test_the_zero_point_is_a_code(engine, arguments):
    scale, zero_point, qmin, qmax = engine.awq_range(**arguments)
    assert ((qmin <= zero_point) & (zero_point <= qmax)).all()
    assert (scale > 0).all()


@both
def test_a_group_far_from_0_is_clipped(engine):
    grid = engine.awq_range(np.float32([[30, 45]]), symmetric=False)
    np.testing.assert_array_equal(engine.quantize(np.float32([[30, 45]]), *grid), [[15, 15]])


WRONG = {
    "max |x| over 7.5": wrong("awq_range", lambda x, s, qmax: np.where(qmax == 15, s, absmax(x) / (qmax + 0.5))),
    "product with the reciprocal": wrong(
        "awq_range", lambda x, s, qmax: np.where(qmax == 15, s, absmax(x) * (np.float32(1) / np.float32(qmax)))
    ),
    "0 forced into the range": lambda groups, bits=4, symmetric=True: (
        refq.awq_range(groups, bits) if symmetric else refq.gptq_range(groups, bits, False)
    ),
    "zero point not clipped": wrong(
        "awq_range", point=lambda x, s, z: np.where(s < 1, z, -np.rint(x.min(-1, keepdims=True)))
    ),
    "no narrowest range": wrong("awq_range", lambda x, s, qmax: np.where(qmax == 15, width(x) / 15, s)),
    "no narrowest range, symmetric": wrong("awq_range", lambda x, s, qmax: np.where(qmax == 7, absmax(x) / 7, s)),
    "floor of the scale in place of the range": wrong(
        "awq_range", lambda x, s, qmax: np.where(s < 1e-5, np.float32(1e-5), s)
    ),
    "ties up": wrong("awq_range", point=lambda x, s, z: np.where(s == 1, np.floor(-x.min(-1, keepdims=True) + 0.5), z)),
    "the grid of AIMET": refq.aimet_range,
    "the grid of compressed-tensors": refq.compressed_tensors_range,
}
