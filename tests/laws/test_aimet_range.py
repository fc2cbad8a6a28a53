"""Laws of aimet_range."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.presets import absmax, check_form, check_nothing_is_clipped, preset_arguments, width, wrong
from tests.support import both

arguments = preset_arguments


@both
@given(arguments())
def test_form(engine, arguments):
    check_form(engine.aimet_range, arguments, refq.integer_range(arguments["bits"], arguments["symmetric"]))


@both
@given(arguments())
def test_nothing_is_clipped(engine, arguments):
    if not arguments["symmetric"] or arguments["bits"] > 2:
        check_nothing_is_clipped(engine, arguments["groups"], engine.aimet_range(**arguments))


@both
@given(arguments())
def test_the_step_has_a_floor(engine, arguments):
    assert (engine.aimet_range(**arguments)[0] >= np.float32(2.0**-23)).all()


@both
def test_the_negative_end_reaches_one_code_further(engine):
    assert engine.aimet_range(np.float32([[-8, 7]]))[0] == engine.aimet_range(np.float32([[-7, 7]]))[0] == 1


def _plain_step(groups, bits=4, symmetric=True):
    scale, zero_point, qmin, qmax = refq.aimet_range(groups, bits, symmetric)
    if symmetric:
        hi, lo = np.maximum(groups.max(-1, keepdims=True), 0), np.minimum(groups.min(-1, keepdims=True), 0)
        scale = np.maximum(np.maximum(hi / np.float32(qmax), lo / np.float32(qmin)), np.float32(2.0**-23))
    return scale, zero_point, qmin, qmax


WRONG = {
    "max |x| over the last code": wrong("aimet_range", lambda x, s, qmax: absmax(x) / qmax),
    "no way through min and max, no extra step with 2 bits": _plain_step,
    "no floor": wrong("aimet_range", lambda x, s, qmax: np.where(s <= 2.0**-22, width(x) / 15, s)),
    "floor in place of widening": wrong(
        "aimet_range", lambda x, s, qmax: np.where(s < 2.5e-7, np.float32(2.0**-23), s)
    ),
    "0 not in the range": wrong("aimet_range", lambda x, s, qmax: np.where(qmax == 15, width(x) / 15, s)),
    "the offset as zero point": wrong("aimet_range", point=lambda x, s, z: -z),
    "zero point truncated": wrong(
        "aimet_range", point=lambda x, s, z: np.where(z == 0, 0, np.trunc(-x.min(-1, keepdims=True) / s))
    ),
    "the grid of GPTQ": refq.gptq_range,
    "the grid of AWQ": refq.awq_range,
    "the grid of compressed-tensors": refq.compressed_tensors_range,
}
