"""Laws of decode_q6_k."""

import numpy as np
from hypothesis import given

from tests.laws.block_laws import check_decoded_alone, check_units_are_factors, check_units_of_0
from tests.laws.blocks import halves, raw, raw_edges, redecoded, swapped, turned
from tests.support import both


def arguments():
    return raw("q6_k")


def edges():
    return raw_edges("q6_k")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "q6_k", **arguments)


@both
@given(arguments())
def test_the_numbers_are_factors(engine, arguments):
    check_units_are_factors(engine, "q6_k", **arguments)


@both
@given(arguments())
def test_numbers_of_0_give_0(engine, arguments):
    check_units_of_0(engine, "q6_k", **arguments)


WRONG = {
    "first code in the high nibble": redecoded("q6_k", lambda b: np.hstack([swapped(b[:, :128], 0), b[:, 128:]])),
    "codes 2 j and 2 j + 1 in a byte": redecoded("q6_k", lambda b: np.hstack([halves(b[:, :128], 0), b[:, 128:]])),
    "high bits lost": redecoded("q6_k", lambda b: np.hstack([b[:, :128], b[:, 128:192] & 0x55, b[:, 192:]])),
    "high bits the other way": redecoded("q6_k", lambda b: np.hstack([b[:, :128], turned(b[:, 128:192]), b[:, 192:]])),
    "scales without a sign": redecoded("q6_k", lambda b: np.hstack([b[:, :192], b[:, 192:208] & 127, b[:, 208:]])),
    "unit first": redecoded("q6_k", lambda b: np.roll(b, -2, axis=-1) & np.uint8([255] * 209 + [0xBB])),
}
