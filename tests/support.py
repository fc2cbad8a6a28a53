"""What the laws share: both engines, inputs that can tell a right quantizer from a wrong one, and bounds."""

import importlib
import pathlib

import numpy as np
import pytest
from hypothesis import strategies as st

import refq
import refq_fast

both = pytest.mark.parametrize("engine", [refq, refq_fast], ids=["refq", "refq_fast"])
LAWS = pathlib.Path(__file__).parent / "laws"


def law(function):
    """The law module of a public function, or None."""
    if not (LAWS / f"test_{function}.py").exists():
        return None
    return importlib.import_module(f"tests.laws.test_{function}")


def int_arrays(shape, low, high, dtype=np.int32):
    """Integer arrays of a shape."""
    size = int(np.prod(shape))
    return st.lists(st.integers(low, high), min_size=size, max_size=size).map(
        lambda v: np.array(v, dtype).reshape(shape)
    )


def half_grid(shape, reach=24):
    """Multiples of a half, up to `reach` steps: ties, clipped values and whole steps, all exact in float32."""
    return int_arrays(shape, -2 * reach, 2 * reach).map(lambda v: (v / 2).astype(np.float32))


def floats32(shape, reach=4.0):
    """Plain finite float32 arrays."""
    size = int(np.prod(shape))
    one = st.floats(-reach, reach, width=32, allow_subnormal=False)
    return st.lists(one, min_size=size, max_size=size).map(lambda v: np.array(v, np.float32).reshape(shape))


def shapes(max_rows=4, max_columns=9):
    """Shapes (rows, columns), both at least 1."""
    return st.tuples(st.integers(1, max_rows), st.integers(1, max_columns))


def scales(rows):
    """A scale a row, of both signs: powers of two and awkward ones."""
    one = st.sampled_from([0.5, 1.0, 2.0, -1.0, 0.1, 0.3, 3.0, 1e-3, 1 / 3])
    return st.lists(one, min_size=rows, max_size=rows).map(lambda v: np.array(v, np.float32).reshape(rows, 1))


@st.composite
def grid_arguments(draw):
    """x, scale, zero_point and limits of quantize: x on multiples of scale / 2, and a little off them."""
    shape = draw(shapes())
    scale = draw(scales(shape[0]))
    x = draw(half_grid(shape)) * scale
    bits = draw(st.integers(2, 16))
    qmin, qmax = refq.integer_range(bits, draw(st.booleans()))
    return {
        "x": x,
        "scale": scale,
        "zero_point": draw(int_arrays((shape[0], 1), qmin - 3, qmax + 3)),
        "qmin": qmin,
        "qmax": qmax,
    }


def grid_edges(seed=0):
    """Large arguments of quantize, of sizes around the kernels' tile edges."""
    random = np.random.default_rng(seed)
    for rows, columns in ((1, 1), (3, 31), (5, 33), (64, 257), (1023, 65), (1, 70001)):
        scale = random.choice([0.25, 0.1, -0.3, 1e-3], (rows, 1)).astype(np.float32)
        x = (random.integers(-40, 40, (rows, columns)) / 2).astype(np.float32) * scale
        yield {
            "x": x,
            "scale": scale,
            "zero_point": random.integers(-8, 8, (rows, 1)).astype(np.int32),
            "qmin": -8,
            "qmax": 7,
        }


def dot_bound(magnitude, length, extra=2):
    """Forward error bound of a float32 dot product: (length + extra) * 2**-24 * sum |a||b|, given that sum."""
    return (length + extra) * 2.0**-24 * magnitude + 1e-37


@st.composite
def range_arguments(draw):
    """Arguments of every range rule: ties, outliers, one-sided groups, zeros, and numbers near the ends of float16."""
    rows, columns = draw(shapes(3, 9))
    x = draw(half_grid((rows, columns)) | floats32((rows, columns)))
    x = x * draw(st.sampled_from([1, 0.1, 100, 1e-6, 1e-44])) + draw(st.sampled_from([0, 0, 30]))
    symmetric = draw(st.booleans())
    qmin, qmax = refq.integer_range(draw(st.sampled_from([2, 3, 4, 8, 16])), symmetric or draw(st.booleans()))
    return {
        "groups": x.astype(np.float32),
        "qmin": qmin,
        "qmax": qmax,
        "symmetric": symmetric,
        "scale_dtype": draw(st.sampled_from(["float32", "float16"])),
    }


def range_edges(shapes, seed=0):
    """Large arguments of every range rule, of the given shapes."""
    random = np.random.default_rng(seed)
    for i, shape in enumerate(shapes):
        x = random.standard_normal(shape).astype(np.float32)
        x[..., :1] *= random.choice([0, 1, 8], (*shape[:-1], 1))
        rule = ((-8, 7, True), (-8, 7, False), (0, 255, False))[i % 3]
        yield {
            "groups": x,
            "qmin": rule[0],
            "qmax": rule[1],
            "symmetric": rule[2],
            "scale_dtype": ("float32", "float16")[i % 2],
        }


def squared_error(groups, scale, zero_point, qmin, qmax):
    """Sum of squared errors of each group (..., 1), from left to right."""
    error = refq.fake_quantize(groups, scale, zero_point, qmin, qmax).astype(np.float64) - groups
    return np.cumsum(error * error, axis=-1)[..., -1:]
