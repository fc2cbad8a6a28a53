"""Laws of decode_q8_0."""

import numpy as np
from hypothesis import given

from tests.laws.block_laws import check_decoded_alone
from tests.laws.blocks import big_endian, raw, raw_edges, redecoded, with_units
from tests.support import both


def arguments():
    return raw("q8_0")


def edges():
    return raw_edges("q8_0")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "q8_0", **arguments)


@both
@given(arguments())
def test_the_numbers_are_multiplied(engine, arguments):
    one, four = (engine.decode_q8_0(with_units("q8_0", arguments["packed"], n)) for n in (1, 4))
    np.testing.assert_array_equal(four, 4 * one)


@both
@given(arguments())
def test_numbers_of_0_give_0(engine, arguments):
    assert not engine.decode_q8_0(with_units("q8_0", arguments["packed"], 0)).any()


WRONG = {
    "codes + 128": redecoded("q8_0", lambda b: b ^ np.uint8([0, 0] + [128] * 32)),
    "the scale without a sign": redecoded("q8_0", lambda b: b & np.uint8([255, 127] + [255] * 32)),
    "big-endian scale": redecoded("q8_0", big_endian),
    "codes backwards": redecoded("q8_0", lambda b: np.hstack([b[:, :2], b[:, :1:-1]])),
}
