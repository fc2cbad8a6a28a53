"""Laws of pack_q4_1."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_any_integer_type, check_packed_back, check_packed_form
from tests.laws.blocks import big_endian, codes, codes_edges, half_of, neighbours, rewritten, swapped
from tests.support import both


def arguments():
    return codes("q4_1")


def edges():
    return codes_edges("q4_1")


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    check_packed_back(engine, "q4_1", **arguments)


@both
@given(arguments())
def test_form(engine, arguments):
    check_packed_form(engine, "q4_1", **arguments)


@both
@given(arguments())
def test_any_integer_type(engine, arguments):
    check_any_integer_type(engine, "q4_1", **arguments)


WRONG = {
    "codes + 8": rewritten("q4_1", lambda b: b ^ np.uint8([0] * 4 + [0x88] * 16)),
    "codes 2 j and 2 j + 1 in a byte": rewritten("q4_1", lambda b: neighbours(b, 4)),
    "first code in the high nibble": rewritten("q4_1", lambda b: swapped(b, 4)),
    "minimum before scale": rewritten("q4_1", lambda b: b[:, [2, 3, 0, 1, *range(4, 20)]]),
    "big-endian minimum": rewritten("q4_1", lambda b: big_endian(b, 2)),
    "scale rounded": lambda q, scale, minimum: refq.pack_q4_1(q, half_of(scale), minimum),
    "minimum rounded": lambda q, scale, minimum: refq.pack_q4_1(q, scale, half_of(minimum)),
    "codes clipped": lambda q, scale, minimum: refq.pack_q4_1(np.clip(q, 0, 15), scale, minimum),
}
