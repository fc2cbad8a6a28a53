"""Laws of unpack_q4_1."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_unpacked_form, check_unpacked_meaning
from tests.laws.blocks import big_endian, halves, raw, raw_edges, reread, swapped
from tests.support import both


def arguments():
    return raw("q4_1")


def edges():
    return raw_edges("q4_1")


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    np.testing.assert_array_equal(engine.pack_q4_1(*engine.unpack_q4_1(**arguments)), arguments["packed"])


@both
@given(arguments())
def test_types_and_shapes(engine, arguments):
    check_unpacked_form(engine, "q4_1", **arguments)


@both
@given(arguments())
def test_it_says_what_decode_gives(engine, arguments):
    check_unpacked_meaning(engine, "q4_1", **arguments)


WRONG = {
    "codes less 8": lambda packed: (refq.unpack_q4_1(packed)[0] - 8, *refq.unpack_q4_1(packed)[1:]),
    "codes 2 j and 2 j + 1 in a byte": reread("q4_1", lambda b: halves(b, 4)),
    "first code in the high nibble": reread("q4_1", lambda b: swapped(b, 4)),
    "minimum before scale": reread("q4_1", lambda b: b[:, [2, 3, 0, 1, *range(4, 20)]]),
    "the minimum negated": reread("q4_1", lambda b: b ^ np.uint8([0, 0, 0, 128] + [0] * 16)),
    "big-endian minimum": reread("q4_1", lambda b: big_endian(b, 2)),
}
