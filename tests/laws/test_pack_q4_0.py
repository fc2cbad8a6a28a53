"""Laws of pack_q4_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_any_integer_type, check_packed_back, check_packed_form
from tests.laws.blocks import big_endian, codes, codes_edges, half_of, neighbours, rewritten, swapped
from tests.support import both


def arguments():
    return codes("q4_0")


def edges():
    return codes_edges("q4_0")


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    check_packed_back(engine, "q4_0", **arguments)


@both
@given(arguments())
def test_form(engine, arguments):
    check_packed_form(engine, "q4_0", **arguments)


@both
@given(arguments())
def test_any_integer_type(engine, arguments):
    check_any_integer_type(engine, "q4_0", **arguments)


WRONG = {
    "two's complement": rewritten("q4_0", lambda b: b ^ np.uint8([0, 0] + [0x88] * 16)),
    "codes 2 j and 2 j + 1 in a byte": rewritten("q4_0", lambda b: neighbours(b, 2)),
    "first code in the high nibble": rewritten("q4_0", lambda b: swapped(b, 2)),
    "the scale without a sign": rewritten("q4_0", lambda b: b & np.uint8([255, 127] + [255] * 16)),
    "big-endian scale": rewritten("q4_0", big_endian),
    "scale at the end": rewritten("q4_0", lambda b: np.roll(b, -2, axis=-1)),
    "scale rounded": lambda q, scale: refq.pack_q4_0(q, half_of(scale)),
    "codes clipped": lambda q, scale: refq.pack_q4_0(np.clip(q, -8, 7), scale),
}
