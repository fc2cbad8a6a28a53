"""Laws of pack_q5_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_any_integer_type, check_packed_back, check_packed_form
from tests.laws.blocks import big_endian, codes, codes_edges, half_of, neighbours, reversed_bits, rewritten, swapped
from tests.support import both


def arguments():
    return codes("q5_0")


def edges():
    return codes_edges("q5_0")


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    check_packed_back(engine, "q5_0", **arguments)


@both
@given(arguments())
def test_form(engine, arguments):
    check_packed_form(engine, "q5_0", **arguments)


@both
@given(arguments())
def test_any_integer_type(engine, arguments):
    check_any_integer_type(engine, "q5_0", **arguments)


def _from_above(blocks):
    return np.hstack([blocks[:, :2], reversed_bits(blocks[:, 2:6]), blocks[:, 6:]])


WRONG = {
    "two's complement": rewritten("q5_0", lambda b: b ^ np.uint8([0, 0] + [255] * 4 + [0] * 16)),
    "codes 2 j and 2 j + 1 in a byte": rewritten("q5_0", lambda b: neighbours(b, 6)),
    "first code in the high nibble": rewritten("q5_0", lambda b: swapped(b, 6)),
    "the scale without a sign": rewritten("q5_0", lambda b: b & np.uint8([255, 127] + [255] * 20)),
    "big-endian scale": rewritten("q5_0", big_endian),
    "scale at the end": rewritten("q5_0", lambda b: np.roll(b, -2, axis=-1)),
    "scale rounded": lambda q, scale: refq.pack_q5_0(q, half_of(scale)),
    "codes clipped": lambda q, scale: refq.pack_q5_0(np.clip(q, -16, 15), scale),
    "fifth bits after the nibbles": rewritten("q5_0", lambda b: b[:, [0, 1, *range(6, 22), *range(2, 6)]]),
    "fifth bits from the high end": rewritten("q5_0", _from_above),
    "fifth bits lost": rewritten("q5_0", lambda b: b & np.uint8([255, 255] + [0] * 4 + [255] * 16)),
}
