"""Laws of gptq_range."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.presets import (
    absmax,
    check_form,
    check_nothing_is_clipped,
    check_powers_of_two,
    preset_arguments,
    wrong,
)
from tests.support import both

arguments = preset_arguments


@both
@given(arguments())
def test_form(engine, arguments):
    check_form(engine.gptq_range, arguments, refq.integer_range(arguments["bits"], signed=False))


@both
@given(arguments())
def test_powers_of_two(engine, arguments):
    check_powers_of_two(engine.gptq_range, arguments)


@both
@given(arguments())
def test_asymmetric_clips_nothing(engine, arguments):
    arguments["symmetric"] = False
    check_nothing_is_clipped(engine, arguments["groups"], engine.gptq_range(**arguments))


@both
def test_a_symmetric_group_without_negative_values_is_clipped(engine):
    grid = engine.gptq_range(np.float32([[15, 3]]))
    np.testing.assert_array_equal(engine.fake_quantize(np.float32([[15, 3]]), *grid), [[7, 3]])


WRONG = {
    "max |x| over 7.5 for every group": wrong(
        "gptq_range",
        lambda x, s, qmax: np.where(x.any(-1, keepdims=True), absmax(x) / np.float32(qmax / 2), s),
    ),
    "zero point 7": wrong("gptq_range", point=lambda x, s, z: z - 1),
    "signed codes": refq.compressed_tensors_range,
    "0 not in the range": lambda groups, bits=4, symmetric=True: refq.gptq_range(
        groups - (0 if symmetric else groups.min(-1, keepdims=True)), bits, symmetric
    ),
    "zeros give scale 1": wrong("gptq_range", lambda x, s, qmax: np.where(x.any(-1, keepdims=True), s, 1)),
    "ties up": wrong(
        "gptq_range", point=lambda x, s, z: np.where(s == 1, np.floor(-x.min(-1, keepdims=True) + 0.5), z)
    ),
    "the grid of AIMET": refq.aimet_range,
    "the grid of AWQ": refq.awq_range,
}
