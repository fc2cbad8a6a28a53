"""Laws of integer_range."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support import both


def arguments():
    return st.fixed_dictionaries({"bits": st.integers(2, 16), "signed": st.booleans()})


@both
@given(arguments())
def test_all_codes_are_there(engine, arguments):
    qmin, qmax = engine.integer_range(**arguments)
    assert qmax - qmin == 2 ** arguments["bits"] - 1
    assert qmin <= 0 < qmax


@both
@given(arguments())
def test_signed_is_unsigned_shifted_by_half(engine, arguments):
    bits = arguments["bits"]
    signed, unsigned = engine.integer_range(bits, True), engine.integer_range(bits, False)
    assert [u - s for u, s in zip(unsigned, signed, strict=True)] == [2 ** (bits - 1)] * 2


@both
@given(st.integers(2, 15), st.booleans())
def test_one_bit_more_halves_every_step(engine, bits, signed):
    qmin, qmax = engine.integer_range(bits, signed)
    assert engine.integer_range(bits + 1, signed) == (2 * qmin, 2 * qmax + 1)


@both
@given(st.integers(2, 8))
def test_both_ends_fit_the_bits(engine, bits):
    ends = np.int32([engine.integer_range(bits)])
    np.testing.assert_array_equal(engine.unpack_codes(engine.pack_codes(ends, bits), bits, 2), ends)


WRONG = {
    "narrow": lambda bits, signed=True: (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1),
    "always signed": lambda bits, signed=True: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
    "one code too many": lambda bits, signed=True: (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits),
    "any width": lambda bits, signed=True: (
        (-(2 ** (int(bits) - 1)), 2 ** (int(bits) - 1) - 1) if signed else (0, 2 ** int(bits) - 1)
    ),
}
