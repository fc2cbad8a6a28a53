"""Laws of fake_quantize."""

import numpy as np
from hypothesis import given

import refq
from tests.support import both, grid_arguments, grid_edges

arguments = grid_arguments
edges = grid_edges


@both
@given(arguments())
def test_is_quantize_then_dequantize(engine, arguments):
    q = engine.quantize(**arguments)
    np.testing.assert_array_equal(
        engine.fake_quantize(**arguments), engine.dequantize(q, arguments["scale"], arguments["zero_point"])
    )


@both
@given(arguments())
def test_idempotent(engine, arguments):
    once = engine.fake_quantize(**arguments)
    np.testing.assert_array_equal(engine.fake_quantize(**(arguments | {"x": once})), once)


@both
@given(arguments())
def test_at_most_half_a_step_away_where_nothing_is_clipped(engine, arguments):
    passed = engine.fake_quantize_vjp(np.ones_like(arguments["x"]), **arguments) == 1
    error = np.abs(engine.fake_quantize(**arguments) - arguments["x"])
    assert (error <= np.abs(arguments["scale"]) * np.float32(0.50001))[passed].all()


WRONG = {
    "codes instead of reals": lambda **a: refq.quantize(**a).astype(np.float32),
    "not clipped": lambda x, scale, zero_point, qmin, qmax: (np.rint(x / scale) * scale).astype(np.float32),
    "identity": lambda x, **a: x,
    "narrow range": lambda x, scale, zero_point, qmin, qmax: refq.fake_quantize(x, scale, zero_point, qmin + 1, qmax),
}
