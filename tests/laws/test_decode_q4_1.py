"""Laws of decode_q4_1."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_decoded_alone
from tests.laws.blocks import big_endian, halves, raw, raw_edges, redecoded, swapped, with_units
from tests.support import both


def arguments():
    return raw("q4_1")


def edges():
    return raw_edges("q4_1")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "q4_1", **arguments)


@both
@given(arguments())
def test_the_numbers_are_multiplied(engine, arguments):
    one, four = (engine.decode_q4_1(with_units("q4_1", arguments["packed"], n)) for n in (1, 4))
    np.testing.assert_array_equal(four, 4 * one)


@both
@given(arguments())
def test_numbers_of_0_give_0(engine, arguments):
    assert not engine.decode_q4_1(with_units("q4_1", arguments["packed"], 0)).any()


WRONG = {
    "codes 2 j and 2 j + 1 in a byte": redecoded("q4_1", lambda b: halves(b, 4)),
    "first code in the high nibble": redecoded("q4_1", lambda b: swapped(b, 4)),
    "minimum before scale": redecoded("q4_1", lambda b: b[:, [2, 3, 0, 1, *range(4, 20)]]),
    "the minimum subtracted": redecoded("q4_1", lambda b: b ^ np.uint8([0, 0, 0, 128] + [0] * 16)),
    "rounded to float16": lambda packed: refq.decode_q4_1(packed).astype(np.float16).astype(np.float32),
    "big-endian minimum": redecoded("q4_1", lambda b: big_endian(b, 2)),
}
