"""Laws of lsq_plus."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.learned import offset_arguments, offset_edges
from tests.laws.operations import wide
from tests.support import both

arguments = offset_arguments
edges = offset_edges


@both
@given(arguments())
def test_without_an_offset_it_is_lsq(engine, arguments):
    x_hat = engine.lsq_plus(**(arguments | {"offset": 0.0}))
    rest = {name: arguments[name] for name in ("x", "scale", "qmin", "qmax")}
    np.testing.assert_array_equal(x_hat, refq.lsq(zero_point=0, **rest))


@both
@given(arguments())
def test_within_half_a_step_where_nothing_is_clipped(engine, arguments):
    x_hat = engine.lsq_plus(**(arguments | {"qmin": -(2**20), "qmax": 2**20}))
    rounding = 1e-6 * (np.abs(arguments["x"]) + np.abs(arguments["offset"]))
    assert (np.abs(x_hat - arguments["x"]) <= arguments["scale"] * 0.5001 + rounding).all()


@both
@given(arguments())
def test_the_last_codes_are_the_ends(engine, arguments):
    for sign, end in ((1, "qmax"), (-1, "qmin")):
        x_hat = engine.lsq_plus(**(arguments | {"x": np.full_like(arguments["x"], sign * 1e30)}))
        expected = np.float32(arguments[end]) * arguments["scale"] + arguments["offset"]
        np.testing.assert_array_equal(x_hat, np.broadcast_to(expected, x_hat.shape))


@both
@given(arguments())
def test_powers_of_two_scale_it(engine, arguments):
    eight = {name: arguments[name] * np.float32(8) for name in ("x", "scale", "offset")}
    np.testing.assert_array_equal(engine.lsq_plus(**(arguments | eight)), 8 * engine.lsq_plus(**arguments))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert engine.lsq_plus(**wide(arguments)).dtype == np.float64


def _wrong(rounding=np.rint, quotient=lambda x, s, b: (x - b) / s, real=lambda q, s, b: q * s + b):
    def lsq_plus(x, scale, offset, qmin, qmax):
        return real(np.clip(rounding(quotient(x, scale, offset)), qmin, qmax), scale, offset).astype(x.dtype)

    return lsq_plus


WRONG = {
    "ties away from zero": _wrong(lambda t: np.copysign(np.floor(np.abs(t) + 0.5), t)),
    "offset added": _wrong(quotient=lambda x, s, b: (x + b) / s, real=lambda q, s, b: q * s - b),
    "offset not added back": _wrong(real=lambda q, s, b: q * s),
    "offset in steps": _wrong(quotient=lambda x, s, b: x / s - b, real=lambda q, s, b: (q + b) * s),
    "subtracted after the division": _wrong(quotient=lambda x, s, b: x / s - b / s),
    "in float64": _wrong(quotient=lambda x, s, b: (x.astype(np.float64) - b) / s),
    "fused multiply-add": _wrong(real=lambda q, s, b: q.astype(np.float64) * s + b),
    "offset rounded to a step": lambda x, scale, offset, qmin, qmax: refq.lsq_plus(
        x, scale, np.rint(offset / scale) * scale, qmin, qmax
    ),
    "narrow range": lambda x, scale, offset, qmin, qmax: refq.lsq_plus(x, scale, offset, qmin + 1, qmax),
}
