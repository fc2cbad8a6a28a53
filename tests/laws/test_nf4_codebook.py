"""Laws of nf4_codebook."""

import mpmath
import numpy as np
from hypothesis import strategies as st

import refq
from tests.laws.tables import check_fresh_array
from tests.support import both


def arguments():
    return st.just({})


def construction():
    """Normal quantiles of evenly spaced probabilities: 8 above 0, 7 below, divided by the largest."""

    def quantiles(count):
        first = mpmath.mpf("0.9677083")
        places = [first + (mpmath.mpf(1) / 2 - first) * i / count for i in range(count)]
        return [mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1) for p in places]

    above, below = quantiles(8), [-v for v in quantiles(7)]
    return [float(v / above[0]) for v in [*below, mpmath.mpf(0), *reversed(above)]]


@both
def test_ascending_with_zero_and_both_ends(engine):
    codebook = engine.nf4_codebook()
    assert codebook.dtype == np.float32
    assert (np.diff(codebook) > 0).all()
    np.testing.assert_array_equal(codebook[[0, 7, 15]], [-1, 0, 1])


@both
def test_near_its_construction(engine):
    difference = np.abs(engine.nf4_codebook() - np.array(construction()))
    assert difference.max() < 2e-7
    assert difference.max() > 5e-8, "the printed numbers, not the constructed ones"


@both
def test_a_fresh_array(engine):
    check_fresh_array(engine.nf4_codebook)


WRONG = {
    "constructed": lambda: np.array(construction(), np.float32),
    "normal quantiles of even bins": lambda: np.linspace(-1, 1, 16, dtype=np.float32),
    "8 below and 7 above": lambda: -refq.nf4_codebook()[::-1],
    "float64": lambda: refq.nf4_codebook().astype(np.float64),
}
