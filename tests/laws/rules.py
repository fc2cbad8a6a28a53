"""The laws of the range rules of our own: minmax, percentile, mse, sqnr."""

import numpy as np

import refq


def check_a_grid_with_zero_on_it(rule, arguments):
    """Positive scales, of the dtype that is asked for, and zero points on the grid."""
    scale, zero_point = rule(**arguments)
    assert scale.shape == zero_point.shape == (*arguments["groups"].shape[:-1], 1)
    assert (scale.dtype, zero_point.dtype) == (np.float32, np.int32)
    assert (scale > 0).all()
    assert ((arguments["qmin"] <= zero_point) & (zero_point <= arguments["qmax"])).all()
    if arguments["scale_dtype"] == "float16":
        np.testing.assert_array_equal(scale, refq.float16_scale(scale))


def check_float64_is_kept(engine, name, arguments):
    """float64 groups have a float64 scale, that of the reference."""
    arguments = arguments | {"groups": arguments["groups"].astype(np.float64)}
    found = getattr(engine, name)(**arguments)
    assert found[0].dtype == np.float64
    np.testing.assert_equal(found, getattr(refq, name)(**arguments))
