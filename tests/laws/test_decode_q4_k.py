"""Laws of decode_q4_k."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_decoded_alone, check_units_are_factors, check_units_of_0
from tests.laws.blocks import halves, raw, raw_edges, redecoded, swapped
from tests.support import both


def arguments():
    return raw("q4_k")


def edges():
    return raw_edges("q4_k")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "q4_k", **arguments)


@both
@given(arguments())
def test_the_numbers_are_factors(engine, arguments):
    check_units_are_factors(engine, "q4_k", **arguments)


@both
@given(arguments())
def test_numbers_of_0_give_0(engine, arguments):
    check_units_of_0(engine, "q4_k", **arguments)


def _exchanged(blocks):
    return np.hstack([blocks[:, :12], swapped(blocks[:, 12:16], 0), blocks[:, 16:]])


WRONG = {
    "codes 2 j and 2 j + 1 in a byte": redecoded("q4_k", lambda b: halves(b, 16)),
    "first code in the high nibble": redecoded("q4_k", lambda b: swapped(b, 16)),
    "minima before scales": redecoded(
        "q4_k", lambda b: b[:, [*range(4), *range(8, 12), *range(4, 8), *range(12, 144)]]
    ),
    "dmin before d": redecoded("q4_k", lambda b: b[:, [2, 3, 0, 1, *range(4, 144)]]),
    "the minimum added": redecoded("q4_k", lambda b: b ^ np.uint8([0, 0, 0, 128] + [0] * 140)),
    "highest bits lost": redecoded("q4_k", lambda b: np.hstack([b[:, :4], b[:, 4:12] & 63, b[:, 12:]])),
    "nibbles of the last four exchanged": redecoded("q4_k", _exchanged),
    "rounded to float16": lambda packed: refq.decode_q4_k(packed).astype(np.float16).astype(np.float32),
}
