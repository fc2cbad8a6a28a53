"""Laws of lsq."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_fake_quantize
from tests.laws.learned import step_arguments, step_edges
from tests.support import both, floats32

arguments = step_arguments
edges = step_edges


@both
@given(arguments())
def test_is_fake_quantize(engine, arguments):
    np.testing.assert_array_equal(engine.lsq(**arguments), refq.fake_quantize(**arguments))


@both
@given(arguments())
def test_within_half_a_step_where_nothing_is_clipped(engine, arguments):
    x_hat = engine.lsq(**(arguments | {"qmin": -(2**20), "qmax": 2**20}))
    assert (np.abs(x_hat - arguments["x"]) <= arguments["scale"] * np.float32(0.5001)).all()


@both
@given(floats32((4, 12)), st.integers(2, 8), st.sampled_from([(None, None), (None, -1), (6, -1), (3, -1), (2, 0)]))
def test_granularity_is_a_view(engine, x, bits, cut):
    size, axis = (None, None) if cut == (None, None) else cut
    qmin, qmax = refq.integer_range(bits)
    groups = refq.to_groups(x, size, axis)
    scale = refq.lsq_scale(groups, qmax)
    x_hat = refq.from_groups(engine.lsq(groups, scale, 0, qmin, qmax), x.shape, axis)
    one_by_one = [
        refq.fake_quantize(g, s, 0, qmin, qmax)
        for g, s in zip(groups.reshape(-1, groups.shape[-1]), scale.reshape(-1), strict=True)
    ]
    np.testing.assert_array_equal(x_hat, refq.from_groups(np.reshape(one_by_one, groups.shape), x.shape, axis))


@both
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_is_the_quantizer_of_kdlsq(engine, bits):
    """alpha * rint(n * clip(x / alpha, -1, 1)) / n with alpha = n * scale: the narrow grid, 2**bits - 1 levels."""
    n = 2 ** (bits - 1) - 1
    x = np.linspace(-1.3, 1.3, 1000)
    alpha = 0.9
    expected = alpha * np.rint(n * np.clip(x / alpha, -1, 1)) / n
    x_hat = engine.lsq(x, alpha / n, 0, -n, n)
    np.testing.assert_allclose(x_hat, expected, rtol=1e-14, atol=1e-15)
    assert len(np.unique(expected)) == 2 * n + 1
    np.testing.assert_array_equal(engine.lsq(-x, alpha / n, 0, -n, n), -x_hat)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments = {k: v.astype(np.float64) if k in ("x", "scale") else v for k, v in arguments.items()}
    assert engine.lsq(**arguments).dtype == np.float64


WRONG = test_fake_quantize.WRONG | {
    "any scale": refq.fake_quantize,
    "the clipped number itself": lambda x, scale, zero_point, qmin, qmax: np.clip(
        x, (qmin - zero_point) * scale, (qmax - zero_point) * scale
    ).astype(np.float32),
}
