"""Laws of e2m1_codebook."""

import numpy as np
from hypothesis import strategies as st

import refq
from tests.laws.tables import check_fresh_array, check_own_codes
from tests.support import both


def arguments():
    return st.just({})


@both
def test_sign_exponent_mantissa(engine):
    codebook = engine.e2m1_codebook()
    assert codebook.dtype == np.float32
    for code, value in enumerate(codebook):
        exponent, mantissa = code >> 1 & 3, code & 1
        magnitude = mantissa / 2 if exponent == 0 else 2.0 ** (exponent - 1) * (1 + mantissa / 2)
        assert value == (-magnitude if code & 8 else magnitude)


@both
def test_the_library_of_small_floats_agrees(engine):
    import ml_dtypes

    codes = np.arange(16, dtype=np.uint8).view(ml_dtypes.float4_e2m1fn)
    np.testing.assert_array_equal(engine.e2m1_codebook(), codes.astype(np.float32))


@both
def test_an_entry_has_its_own_code(engine):
    check_own_codes(engine, engine.e2m1_codebook)


@both
def test_a_fresh_array(engine):
    check_fresh_array(engine.e2m1_codebook)


WRONG = {
    "sorted": lambda: np.sort(refq.e2m1_codebook()),
    "bitsandbytes' FP4": lambda: refq.fp4_codebook(),
    "no subnormal": lambda: np.where(np.abs(refq.e2m1_codebook()) == 0.5, 0.75, refq.e2m1_codebook()).astype(
        np.float32
    ),
    "bias 0": lambda: refq.e2m1_codebook() * np.float32(2),
    "with infinity": lambda: np.where(np.abs(refq.e2m1_codebook()) == 6, np.inf, refq.e2m1_codebook()).astype(
        np.float32
    ),
}
