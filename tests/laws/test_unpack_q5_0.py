"""Laws of unpack_q5_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_unpacked_form, check_unpacked_meaning
from tests.laws.blocks import big_endian, halves, raw, raw_edges, reread, reversed_bits, swapped
from tests.support import both


def arguments():
    return raw("q5_0")


def edges():
    return raw_edges("q5_0")


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    np.testing.assert_array_equal(engine.pack_q5_0(*engine.unpack_q5_0(**arguments)), arguments["packed"])


@both
@given(arguments())
def test_types_and_shapes(engine, arguments):
    check_unpacked_form(engine, "q5_0", **arguments)


@both
@given(arguments())
def test_it_says_what_decode_gives(engine, arguments):
    check_unpacked_meaning(engine, "q5_0", **arguments)


def _codes(packed, change):
    q, scale = refq.unpack_q5_0(packed)
    return change(q).astype(np.int32), scale


def _from_above(blocks):
    return np.hstack([blocks[:, :2], reversed_bits(blocks[:, 2:6]), blocks[:, 6:]])


WRONG = {
    "codes 0..31": lambda packed: _codes(packed, lambda q: q + 16),
    "codes less 15": lambda packed: _codes(packed, lambda q: q + 1),
    "two's complement": lambda packed: _codes(packed, lambda q: np.where(q < 0, q + 16, q - 16)),
    "codes 2 j and 2 j + 1 in a byte": reread("q5_0", lambda b: halves(b, 6)),
    "first code in the high nibble": reread("q5_0", lambda b: swapped(b, 6)),
    "the scale without a sign": reread("q5_0", lambda b: b & np.uint8([255, 127] + [255] * 20)),
    "big-endian scale": reread("q5_0", big_endian),
    "fifth bits after the nibbles": reread("q5_0", lambda b: b[:, [0, 1, *range(18, 22), *range(2, 18)]]),
    "fifth bits from the high end": reread("q5_0", _from_above),
    "fifth bits lost": reread("q5_0", lambda b: b & np.uint8([255, 255] + [0] * 4 + [255] * 16)),
}
