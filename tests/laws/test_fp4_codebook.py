"""Laws of fp4_codebook."""

import numpy as np
from hypothesis import strategies as st

import refq
from tests.laws.tables import check_fresh_array, check_own_codes
from tests.support import both


def arguments():
    return st.just({})


@both
def test_odd_in_the_sign_bit(engine):
    codebook = engine.fp4_codebook()
    assert codebook.dtype == np.float32
    np.testing.assert_array_equal(codebook[8:], -codebook[:8])
    assert np.signbit(codebook[8])
    assert np.abs(codebook).max() == 1


@both
def test_twelve_times_the_entries_are_short_numbers(engine):
    twelvefold = engine.fp4_codebook() * np.float64(12)
    np.testing.assert_allclose(twelvefold[:8], [0, 0.0625, 8, 12, 4, 6, 2, 3], rtol=1e-7)


@both
def test_an_entry_has_its_own_code(engine):
    check_own_codes(engine, engine.fp4_codebook)


@both
def test_a_fresh_array(engine):
    check_fresh_array(engine.fp4_codebook)


WRONG = {
    "sorted": lambda: np.sort(refq.fp4_codebook()),
    "ascending magnitudes": lambda: np.concatenate(
        [np.sort(refq.fp4_codebook()[:8]), -np.sort(refq.fp4_codebook()[:8])]
    ),
    "E2M1 over its largest": lambda: refq.e2m1_codebook() / np.float32(6),
    "not divided": lambda: refq.fp4_codebook() * np.float32(12),
    "sign bit the other way": lambda: -refq.fp4_codebook(),
}
