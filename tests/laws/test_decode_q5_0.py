"""Laws of decode_q5_0."""

import numpy as np
from hypothesis import given

from tests.laws.block_laws import check_decoded_alone, check_units_are_factors
from tests.laws.blocks import big_endian, halves, raw, raw_edges, redecoded, swapped, with_units
from tests.support import both


def arguments():
    return raw("q5_0")


def edges():
    return raw_edges("q5_0")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "q5_0", **arguments)


@both
@given(arguments())
def test_the_numbers_are_multiplied(engine, arguments):
    check_units_are_factors(engine, "q5_0", **arguments)


@both
@given(arguments())
def test_numbers_of_0_give_0(engine, arguments):
    assert not engine.decode_q5_0(with_units("q5_0", arguments["packed"], 0)).any()


def _pairs(blocks):
    """The fifth bits of codes j and j + 16 beside each other."""
    bits = np.unpackbits(blocks[:, 2:6], axis=-1, bitorder="little").reshape(-1, 16, 2)
    bits = bits.swapaxes(1, 2).reshape(-1, 32)
    return np.hstack([blocks[:, :2], np.packbits(bits, axis=-1, bitorder="little"), blocks[:, 6:]])


WRONG = {
    "codes 2 j and 2 j + 1 in a byte": redecoded("q5_0", lambda b: halves(b, 6)),
    "first code in the high nibble": redecoded("q5_0", lambda b: swapped(b, 6)),
    "no fifth bits": redecoded("q5_0", lambda b: np.hstack([b[:, :2], b[:, 2:6] * 0, b[:, 6:]])),
    "fifth bits highest first": redecoded("q5_0", lambda b: np.hstack([b[:, :2], b[:, 5:1:-1], b[:, 6:]])),
    "fifth bits in pairs": redecoded("q5_0", _pairs),
    "the scale without a sign": redecoded("q5_0", lambda b: b & np.uint8([255, 127] + [255] * 20)),
    "big-endian scale": redecoded("q5_0", big_endian),
    "all codes 16 too high": redecoded("q5_0", lambda b: np.hstack([b[:, :2], b[:, 2:6] | 255, b[:, 6:]])),
}
