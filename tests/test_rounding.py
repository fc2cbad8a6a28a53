"""Rows of a weight in one pass: what the fast engine packs is what the reference does, bit for bit."""

import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import refq
import refq_fast
from refq.errors import GridError, NonFiniteError
from refq.jobs import rounding

DTYPES = (np.float32, np.float16, ml_dtypes.bfloat16)
SHAPES = [(3, 64, 32), (5, 96, 8), (2, 33, 11), (4, 48, 48), (1, 35, 35), (300, 1024, 128)]  # rows, inputs, group size


def rows(shape, dtype, seed=0):
    """Weights with ties, zeros of both signs, a group of zeros, subnormals, and numbers of all magnitudes."""
    random = np.random.default_rng(seed)
    w = random.standard_normal(shape) * 2.0 ** random.integers(-20, 8, (shape[0], 1))
    w[0] = random.integers(-14, 15, shape[1]) / 2
    w[-1] = 0
    w[:, ::7] *= -0.0
    w[:, -1] = 2.0**-24
    return w.astype(dtype)


def compare(w, bits, limits, *arguments, **options):
    packed, scale, zero_point, errors = refq_fast.rounding.rounded(w, bits, limits, *arguments, **options)
    expected = rounding.rounded(w, bits, limits, *arguments, **options)
    np.testing.assert_array_equal(packed, expected[0])
    np.testing.assert_array_equal(scale, np.broadcast_to(expected[1], scale.shape))
    np.testing.assert_array_equal(zero_point, np.broadcast_to(expected[2], scale.shape))
    assert (packed.dtype, scale.dtype, zero_point.dtype) == (np.int32, np.float32, np.int32)
    np.testing.assert_allclose(errors[:2], expected[3][:2], rtol=1e-12)  # sums of float64, in another order
    assert errors[2] == expected[3][2]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "asymmetric"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_width(dtype, symmetric, shape):
    for bits in range(2, 9):
        compare(rows(shape[:2], dtype, bits), bits, refq.integer_range(bits), shape[2], symmetric)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("known", [(3, 4, 1), (1, 4, 1), (1, 1)], ids=["its own", "one a column", "one"])
def test_a_known_grid_and_another_original(known, dtype):
    random = np.random.default_rng(1)
    grid = random.uniform(0.1, 1, known).astype(np.float32), random.integers(-9, 9, known).astype(np.int32)
    w, original = rows((3, 64), dtype), rows((3, 64), dtype, 1)
    compare(w, 4, (-7, 7), 16, known=grid)
    compare(w, 4, (-8, 7), 16, False, grid, original)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("place", [0, 40, 65])  # in whole vectors, and after them
def test_what_no_grid_holds_is_refused_in_the_same_words(dtype, value, place):
    w = rows((3, 66), dtype)
    with np.errstate(over="ignore"):
        w[1, place] = value  # in float16 1e30 is infinity
    said = []
    for engine in (rounding, refq_fast.rounding):
        with pytest.raises(NonFiniteError if not np.isfinite(w[1, place]) else GridError) as found:
            engine.rounded(w, 4, (-8, 7), 33)
        said.append(str(found.value))
    assert said[0] == said[1]


def test_a_scale_of_0_is_refused():
    for engine in (rounding, refq_fast.rounding):
        with pytest.raises(GridError, match="not 0"):
            engine.rounded(
                np.ones((1, 8), np.float32), 4, (-8, 7), 8, known=(np.zeros((1, 1), np.float32), np.int32([[0]]))
            )


def test_on_a_processor_without_extensions(tmp_path):
    code = "from tests.test_rounding import *\nfor d in DTYPES: compare(rows((5, 96), d), 4, (-8, 7), 32, False)"
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
