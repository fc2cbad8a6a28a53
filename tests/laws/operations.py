"""What the laws of the operations share: awkward inputs, and what float32 sums may cost."""

import numpy as np

from tests.support import int_arrays

UNIT = 2.0**-24
EDGES = ((1, 1), (3, 31), (5, 33), (64, 257), (130, 1000))  # rows and columns around the tiles of the kernels


def tenths(shape, reach=20):
    """Multiples of 0.1 in float32: sums of them are rounded, ties are rare, nothing underflows."""
    return int_arrays(shape, -reach, reach).map(lambda v: (v * 0.1).astype(np.float32))


def normal(seed, *shape):
    """A float32 array of standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def wide(arguments):
    """The same arguments with float64 in place of float32."""
    kept = {name: v.astype(np.float64) for name, v in arguments.items() if getattr(v, "dtype", None) == np.float32}
    return arguments | kept


def cost(magnitude, roundings):
    """How far two float32 results may lie apart: twice so many roundings of the sum of magnitudes."""
    return 2 * roundings * UNIT * np.asarray(magnitude, np.float64) + 1e-37


def softmax_cost(x):
    """Roundings of a softmax, relative: the differences to the maximum, the sum, and what exp may be off."""
    reach = np.ptp(x, axis=-1, keepdims=True) if x.size else 0
    return 2 * reach + x.shape[-1] + 20


def assert_linear_in(function, arguments, name="g"):
    """2**64 times the array in, as much times the results out, bit for bit; zeros give zeros.

    Where a result reaches 2**-100: of a smaller one a part may be subnormal, and rounded to fewer bits.
    """
    once, large, zero = (function(**(arguments | {name: arguments[name] * f})) for f in (1, 2.0**64, 0))
    for one, many, none in zip(*map(_parts, (once, large, zero)), strict=True):
        if one is not None:
            np.testing.assert_array_equal(np.where(np.abs(many) < 2.0**-36, many, one * 2.0**64), many)
            assert not none.any()


def assert_mirrored(function, x):
    """f(x) - f(-x) = x, of x times a probability that is 1 less that of -x."""
    np.testing.assert_allclose(function(x) - function(-x), x, atol=1e-5)


def assert_relu_far_out(function, atol=0.0):
    x = np.float32([100, 1e30, -1e30, -100, 3.4e38, -3.4e38])
    np.testing.assert_allclose(function(x), np.maximum(x, 0), rtol=0, atol=atol)


def assert_float64_is_kept(function, arguments):
    """float64 in, float64 out, near the float32 result."""
    for one, two in zip(*map(_parts, (function(**arguments), function(**wide(arguments)))), strict=True):
        if one is not None:
            assert one.dtype == np.float32
            assert two.dtype == np.float64
            np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-4)


def _parts(value):
    return value if isinstance(value, (tuple, list)) else [value]
