"""Laws of decode_q4_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_decoded_alone
from tests.laws.blocks import big_endian, halves, raw, raw_edges, redecoded, swapped, with_units
from tests.support import both


def arguments():
    return raw("q4_0")


def edges():
    return raw_edges("q4_0")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "q4_0", **arguments)


@both
@given(arguments())
def test_the_numbers_are_multiplied(engine, arguments):
    one, four = (engine.decode_q4_0(with_units("q4_0", arguments["packed"], n)) for n in (1, 4))
    np.testing.assert_array_equal(four, 4 * one)


@both
@given(arguments())
def test_numbers_of_0_give_0(engine, arguments):
    assert not engine.decode_q4_0(with_units("q4_0", arguments["packed"], 0)).any()


def _moved(packed, steps):
    _, scale = refq.unpack_q4_0(packed)
    return refq.decode_q4_0(packed) + np.float32(steps) * np.repeat(scale, 32, axis=-1)


WRONG = {
    "codes 2 j and 2 j + 1 in a byte": redecoded("q4_0", lambda b: halves(b, 2)),
    "first code in the high nibble": redecoded("q4_0", lambda b: swapped(b, 2)),
    "codes 0..15": lambda packed: _moved(packed, 8),
    "codes less 7": lambda packed: _moved(packed, 1),
    "the scale without a sign": redecoded("q4_0", lambda b: b & np.uint8([255, 127] + [255] * 16)),
    "big-endian scale": redecoded("q4_0", big_endian),
}
