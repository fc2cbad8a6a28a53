"""Laws of decode_q5_k."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_decoded_alone, check_units_are_factors, check_units_of_0
from tests.laws.blocks import halves, raw, raw_edges, redecoded, reversed_bits, swapped
from tests.support import both


def arguments():
    return raw("q5_k")


def edges():
    return raw_edges("q5_k")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "q5_k", **arguments)


@both
@given(arguments())
def test_the_numbers_are_factors(engine, arguments):
    check_units_are_factors(engine, "q5_k", **arguments)


@both
@given(arguments())
def test_numbers_of_0_give_0(engine, arguments):
    check_units_of_0(engine, "q5_k", **arguments)


@both
@given(arguments())
def test_without_fifth_bits_it_is_q4_k(engine, arguments):
    blocks = arguments["packed"].reshape(-1, 176).copy()
    blocks[:, 16:48] = 0
    expected = engine.decode_q4_k(np.hstack([blocks[:, :16], blocks[:, 48:]]))
    np.testing.assert_array_equal(engine.decode_q5_k(blocks), expected)


def _fifth(change):
    return redecoded("q5_k", lambda b: np.hstack([b[:, :16], change(b[:, 16:48]), b[:, 48:]]))


def _bits(h):
    """Bit j of byte l in the order l, j, as if it were that of number 8 l + j."""
    return np.unpackbits(h, axis=-1, bitorder="little").reshape(len(h), 8, 32).swapaxes(1, 2).reshape(len(h), 256)


def _exchanged(blocks):
    return np.hstack([blocks[:, :12], swapped(blocks[:, 12:16], 0), blocks[:, 16:]])


WRONG = {
    "fifth bits lost": _fifth(np.zeros_like),
    "fifth bits from the high end": _fifth(reversed_bits),
    "fifth bits of neighbours in a byte": _fifth(lambda h: np.packbits(_bits(h), axis=-1, bitorder="little")),
    "fifth bits after the nibbles": redecoded("q5_k", lambda b: b[:, [*range(16), *range(144, 176), *range(16, 144)]]),
    "codes 2 j and 2 j + 1 in a byte": redecoded("q5_k", lambda b: halves(b, 48)),
    "first code in the high nibble": redecoded("q5_k", lambda b: swapped(b, 48)),
    "minima before scales": redecoded(
        "q5_k", lambda b: b[:, [*range(4), *range(8, 12), *range(4, 8), *range(12, 176)]]
    ),
    "dmin before d": redecoded("q5_k", lambda b: b[:, [2, 3, 0, 1, *range(4, 176)]]),
    "the minimum added": redecoded("q5_k", lambda b: b ^ np.uint8([0, 0, 0, 128] + [0] * 172)),
    "highest bits lost": redecoded("q5_k", lambda b: np.hstack([b[:, :4], b[:, 4:12] & 63, b[:, 12:]])),
    "nibbles of the last four exchanged": redecoded("q5_k", _exchanged),
    "rounded to float16": lambda packed: refq.decode_q5_k(packed).astype(np.float16).astype(np.float32),
}
