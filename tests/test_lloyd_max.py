"""Does k-means on a large normal sample find the quantizer that Lloyd and Max computed, and which scheme is ahead?

LEAST: the squared error of the best 2, 4, 8, 16 and 32 levels for a normal variable of variance 1.
"""

import numpy as np
import pytest

import refq_fast
from tests.laws.fitted import squared_error

LEAST = {1: 0.3634, 2: 0.1175, 3: 0.03454, 4: 0.009497, 5: 0.002499}
SIZE = 300_000


def sample(law):
    random = np.random.default_rng(0)
    return (random.standard_normal if law == "normal" else lambda size: random.standard_t(4, size))((1, SIZE))


def error(groups, fitted):
    """Squared error over variance."""
    codebook, index = fitted
    return squared_error(groups, codebook, index)[0] / SIZE / groups.var(dtype=np.float64)


@pytest.mark.parametrize("bits", LEAST)
def test_the_optimum_is_that_of_lloyd_and_max(bits):
    groups = sample("normal").astype(np.float32)
    assert error(groups, refq_fast.kmeans_optimal(groups, 2**bits)) == pytest.approx(LEAST[bits], rel=0.02)


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_lloyd_converges_to_it(bits):
    groups = sample("normal").astype(np.float32)
    draws = np.random.default_rng(bits).random((1, 2**bits))
    start = refq_fast.kmeans_plus_plus_init(groups, 2**bits, draws)
    assert error(groups, refq_fast.lloyd(groups, start, 1000)) == pytest.approx(LEAST[bits], rel=0.02)


@pytest.mark.parametrize("law", ["normal", "student"])
@pytest.mark.parametrize("bits", LEAST)
def test_the_order_of_the_schemes(law, bits):
    groups = sample(law).astype(np.float32)
    optimal = error(groups, refq_fast.kmeans_optimal(groups, 2**bits))
    linear_mean = error(groups, refq_fast.linear_mean(groups, bits))
    assert optimal <= linear_mean <= error(groups, refq_fast.linear_round(groups, bits))
    draws = np.random.default_rng(bits).random((1, 2**bits))
    three = error(groups, refq_fast.lloyd(groups, refq_fast.kmeans_plus_plus_init(groups, 2**bits, draws)))
    assert optimal <= three
    if law == "student" or bits > 1:  # with 1 bit even bins are the optimum of a symmetric law
        assert three < linear_mean
