"""Laws of pack_q8_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_any_integer_type, check_packed_back, check_packed_form
from tests.laws.blocks import big_endian, codes, codes_edges, half_of, rewritten
from tests.support import both


def arguments():
    return codes("q8_0")


def edges():
    return codes_edges("q8_0")


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    check_packed_back(engine, "q8_0", **arguments)


@both
@given(arguments())
def test_form(engine, arguments):
    check_packed_form(engine, "q8_0", **arguments)


@both
@given(arguments())
def test_any_integer_type(engine, arguments):
    check_any_integer_type(engine, "q8_0", **arguments)


WRONG = {
    "codes + 128": rewritten("q8_0", lambda b: b ^ np.uint8([0, 0] + [128] * 32)),
    "the scale without a sign": rewritten("q8_0", lambda b: b & np.uint8([255, 127] + [255] * 32)),
    "big-endian scale": rewritten("q8_0", big_endian),
    "scale at the end": rewritten("q8_0", lambda b: np.roll(b, -2, axis=-1)),
    "scale rounded": lambda q, scale: refq.pack_q8_0(q, half_of(scale)),
    "codes clipped": lambda q, scale: refq.pack_q8_0(np.clip(q, -127, 127), scale),
}
