"""Laws of decode_q5_1."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_decoded_alone
from tests.laws.blocks import halves, raw, raw_edges, redecoded, swapped, with_units
from tests.support import both


def arguments():
    return raw("q5_1")


def edges():
    return raw_edges("q5_1")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "q5_1", **arguments)


@both
@given(arguments())
def test_the_numbers_are_multiplied(engine, arguments):
    one, four = (engine.decode_q5_1(with_units("q5_1", arguments["packed"], n)) for n in (1, 4))
    np.testing.assert_array_equal(four, 4 * one)


@both
@given(arguments())
def test_numbers_of_0_give_0(engine, arguments):
    assert not engine.decode_q5_1(with_units("q5_1", arguments["packed"], 0)).any()


def _pairs(blocks):
    """The fifth bits of codes j and j + 16 beside each other."""
    bits = np.unpackbits(blocks[:, 4:8], axis=-1, bitorder="little").reshape(-1, 16, 2)
    bits = bits.swapaxes(1, 2).reshape(-1, 32)
    return np.hstack([blocks[:, :4], np.packbits(bits, axis=-1, bitorder="little"), blocks[:, 8:]])


WRONG = {
    "codes 2 j and 2 j + 1 in a byte": redecoded("q5_1", lambda b: halves(b, 8)),
    "first code in the high nibble": redecoded("q5_1", lambda b: swapped(b, 8)),
    "no fifth bits": redecoded("q5_1", lambda b: np.hstack([b[:, :4], b[:, 4:8] * 0, b[:, 8:]])),
    "fifth bits highest first": redecoded("q5_1", lambda b: np.hstack([b[:, :4], b[:, 7:3:-1], b[:, 8:]])),
    "fifth bits in pairs": redecoded("q5_1", _pairs),
    "minimum before scale": redecoded("q5_1", lambda b: b[:, [2, 3, 0, 1, *range(4, 24)]]),
    "the minimum subtracted": redecoded("q5_1", lambda b: b ^ np.uint8([0, 0, 0, 128] + [0] * 20)),
    "rounded to float16": lambda packed: refq.decode_q5_1(packed).astype(np.float16).astype(np.float32),
}
