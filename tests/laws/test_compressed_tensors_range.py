"""Laws of compressed_tensors_range."""

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
    check_form(engine.compressed_tensors_range, arguments, refq.integer_range(arguments["bits"]))


@both
@given(arguments())
def test_powers_of_two(engine, arguments):
    check_powers_of_two(engine.compressed_tensors_range, arguments)


@both
@given(arguments())
def test_half_a_step_is_clipped_at_most(engine, arguments):
    scale, zero_point, qmin, qmax = engine.compressed_tensors_range(**arguments)
    check_nothing_is_clipped(engine, arguments["groups"], (scale, zero_point, qmin - 1, qmax + 1))


@both
@given(arguments())
def test_is_the_grid_of_gptq_on_signed_codes(engine, arguments):
    groups, bits, symmetric = arguments.values()
    if (groups.min(-1) < 0).all():  # GPTQ has its own way with groups without a negative value
        signed, unsigned = engine.compressed_tensors_range(**arguments), engine.gptq_range(**arguments)
        np.testing.assert_allclose(signed[0], unsigned[0], rtol=2e-7)
        assert (np.abs(signed[1] + 2 ** (bits - 1) - unsigned[1]) <= 1).all()


WRONG = {
    "max |x| over the last code": wrong("compressed_tensors_range", lambda x, s, qmax: np.maximum(absmax(x) / qmax, s)),
    "max |x| over 8": wrong(
        "compressed_tensors_range", lambda x, s, qmax: np.where(s == 1, absmax(x) / np.float32(qmax + 1), s)
    ),
    "zeros give scale 1": wrong("compressed_tensors_range", lambda x, s, qmax: np.where(s == 2.0**-23, 1, s)),
    "the smallest step for every smaller one": wrong(
        "compressed_tensors_range", lambda x, s, qmax: np.maximum(s, np.float32(2.0**-23))
    ),
    "zeros get the lowest code as zero point": wrong(
        "compressed_tensors_range", point=lambda x, s, z: np.where(x.any(-1, keepdims=True), z, -8)
    ),
    "zero point not clipped from 0 / 0": wrong(
        "compressed_tensors_range", point=lambda x, s, z: np.where(s == 2.0**-23, np.clip(z, -8, 0), z)
    ),
    "ties up": wrong(
        "compressed_tensors_range",
        point=lambda x, s, z: np.where(s == 1, np.floor(-8 - np.minimum(x.min(-1, keepdims=True), 0) + 0.5), z),
    ),
    "the grid of GPTQ": refq.gptq_range,
    "the grid of AIMET": refq.aimet_range,
    "the grid of AWQ": refq.awq_range,
}
