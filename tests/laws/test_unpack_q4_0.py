"""Laws of unpack_q4_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_unpacked_form, check_unpacked_meaning
from tests.laws.blocks import big_endian, halves, raw, raw_edges, reread, swapped
from tests.support import both


def arguments():
    return raw("q4_0")


def edges():
    return raw_edges("q4_0")


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    np.testing.assert_array_equal(engine.pack_q4_0(*engine.unpack_q4_0(**arguments)), arguments["packed"])


@both
@given(arguments())
def test_types_and_shapes(engine, arguments):
    check_unpacked_form(engine, "q4_0", **arguments)


@both
@given(arguments())
def test_it_says_what_decode_gives(engine, arguments):
    check_unpacked_meaning(engine, "q4_0", **arguments)


def _codes(packed, change):
    q, scale = refq.unpack_q4_0(packed)
    return change(q).astype(np.int32), scale


WRONG = {
    "codes 0..15": lambda packed: _codes(packed, lambda q: q + 8),
    "codes less 7": lambda packed: _codes(packed, lambda q: q + 1),
    "two's complement": lambda packed: _codes(packed, lambda q: np.where(q < 0, q + 8, q - 8)),
    "codes 2 j and 2 j + 1 in a byte": reread("q4_0", lambda b: halves(b, 2)),
    "first code in the high nibble": reread("q4_0", lambda b: swapped(b, 2)),
    "the scale without a sign": reread("q4_0", lambda b: b & np.uint8([255, 127] + [255] * 16)),
    "big-endian scale": reread("q4_0", big_endian),
}
