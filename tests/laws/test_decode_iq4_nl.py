"""Laws of decode_iq4_nl."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_decoded_alone, check_units_are_factors, check_units_of_0
from tests.laws.blocks import big_endian, halves, raw, raw_edges, redecoded, swapped, with_units
from tests.support import both


def arguments():
    return raw("iq4_nl")


def edges():
    return raw_edges("iq4_nl")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "iq4_nl", **arguments)


@both
@given(arguments())
def test_the_numbers_are_factors(engine, arguments):
    check_units_are_factors(engine, "iq4_nl", **arguments)


@both
@given(arguments())
def test_numbers_of_0_give_0(engine, arguments):
    check_units_of_0(engine, "iq4_nl", **arguments)


@both
@given(arguments())
def test_steps_are_those_of_the_table(engine, arguments):
    x = engine.decode_iq4_nl(with_units("iq4_nl", arguments["packed"], 1))
    assert set(np.unique(x)) <= {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}


WRONG = {
    "even steps": lambda packed: refq.decode_q4_0(packed),
    "first code in the high nibble": redecoded("iq4_nl", lambda b: swapped(b, 2)),
    "codes 2 j and 2 j + 1 in a byte": redecoded("iq4_nl", lambda b: halves(b, 2)),
    "the scale without a sign": redecoded("iq4_nl", lambda b: b & np.uint8([255, 127] + [255] * 16)),
    "the table downwards": redecoded("iq4_nl", lambda b: b ^ np.uint8([0, 0] + [255] * 16)),
    "big-endian scale": redecoded("iq4_nl", big_endian),
}
