"""Laws of learned_range."""

import numpy as np
from hypothesis import given

import refq
from refq.training.learned_range import range_grid
from tests.laws.learned import range_arguments, range_edges
from tests.laws.operations import wide
from tests.support import both

arguments = range_arguments
edges = range_edges


@both
@given(arguments())
def test_starts_where_calibration_ends(engine, arguments):
    """Ends of a group, 0 between them: the grid of minmax. Ends of a symmetric grid of AIMET: that grid."""
    x, bits = np.concatenate([arguments["x"], arguments["x"] * 0], axis=-1), min(arguments["bits"], 8)
    lo, hi = x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True) + np.float32(0.5)
    x = np.concatenate([x, hi], axis=-1)
    scale, zero_point = refq.minmax(x, 0, 2**bits - 1, symmetric=False)
    expected = refq.fake_quantize(x, scale, zero_point, 0, 2**bits - 1)
    np.testing.assert_array_equal(engine.learned_range(x, lo, hi, bits, False), expected)
    scale, zero_point, qmin, qmax = refq.aimet_range(x, bits)
    x_hat = engine.learned_range(x, qmin * scale, qmax * scale, bits, True)
    np.testing.assert_allclose(x_hat, refq.fake_quantize(x, scale, zero_point, qmin, qmax), rtol=1e-6, atol=1e-6)


@both
@given(arguments())
def test_zero_is_on_the_grid(engine, arguments):
    assert not engine.learned_range(**(arguments | {"x": arguments["x"] * 0})).any()


@both
@given(arguments())
def test_symmetric_only_the_width_counts(engine, arguments):
    width = np.float32(arguments["maximum"]) - arguments["minimum"]
    arguments |= {"symmetric": True, "minimum": -width, "maximum": width * 0}
    x_hat = engine.learned_range(**arguments)
    np.testing.assert_array_equal(engine.learned_range(**(arguments | {"minimum": width * 0, "maximum": width})), x_hat)


@both
@given(arguments())
def test_powers_of_two_scale_it(engine, arguments):
    eight = {name: arguments[name] * np.float32(8) for name in ("x", "minimum", "maximum")}
    np.testing.assert_array_equal(engine.learned_range(**(arguments | eight)), 8 * engine.learned_range(**arguments))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert engine.learned_range(**wide(arguments)).dtype == np.float64


def _wrong(steps=None, zero_point=None, step=None):
    """The grid with a part replaced."""

    def learned_range(x, minimum, maximum, bits, symmetric):
        n = 2**bits - 1 if steps is None else steps(bits)
        scale = (maximum - minimum) / np.float32(n)
        if step is not None and symmetric:
            scale = step(minimum, maximum, bits)
        zero = range_grid(np.asarray(minimum), np.asarray(maximum), bits, symmetric)[1]
        if zero_point is not None and not symmetric:
            zero = zero_point(minimum, scale, 2**bits - 1)
        scale = np.asarray(scale, np.float32)
        return refq.fake_quantize(x, scale, np.asarray(zero).astype(np.int32), *refq.integer_range(bits, symmetric))

    return learned_range


WRONG = {
    "one step too many": _wrong(steps=lambda bits: 2**bits),
    "largest end over the largest code": _wrong(
        step=lambda low, high, bits: np.maximum(-low, high) / np.float32(2 ** (bits - 1) - 1)
    ),
    "zero point not clipped": _wrong(zero_point=lambda low, scale, n: -np.rint(low / scale)),
    "zero point towards zero": _wrong(zero_point=lambda low, scale, n: np.clip(np.trunc(-low / scale), 0, n)),
    "ties of the zero point up": _wrong(zero_point=lambda low, scale, n: np.clip(np.floor(-low / scale + 0.5), 0, n)),
    "offset not rounded": lambda x, minimum, maximum, bits, symmetric: refq.lsq_plus(
        x, (maximum - minimum) / np.float32(2**bits - 1), minimum, 0, 2**bits - 1
    ),
    "only clipped": lambda x, minimum, maximum, **_: np.clip(x, minimum, maximum),
    "never symmetric": lambda x, minimum, maximum, bits, symmetric: refq.learned_range(
        x, minimum, maximum, bits, False
    ),
}
