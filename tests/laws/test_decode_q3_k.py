"""Laws of decode_q3_k."""

import numpy as np
from hypothesis import given

from tests.laws.block_laws import check_decoded_alone, check_units_are_factors, check_units_of_0
from tests.laws.blocks import raw, raw_edges, redecoded, reversed_bits, swapped, turned, with_units
from tests.support import both


def arguments():
    return raw("q3_k")


def edges():
    return raw_edges("q3_k")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "q3_k", **arguments)


@both
@given(arguments())
def test_the_numbers_are_factors(engine, arguments):
    check_units_are_factors(engine, "q3_k", **arguments)


@both
@given(arguments())
def test_numbers_of_0_give_0(engine, arguments):
    check_units_of_0(engine, "q3_k", **arguments)


@both
@given(arguments())
def test_the_third_bits_add_4_steps(engine, arguments):
    blocks = with_units("q3_k", arguments["packed"], 1).reshape(-1, 110)
    none, all_ = (np.hstack([np.full_like(blocks[:, :32], bits), blocks[:, 32:]]) for bits in (0, 255))
    added = (engine.decode_q3_k(all_) - engine.decode_q3_k(none)).reshape(-1, 16)
    assert (added == added[:, :1]).all()
    assert set(np.unique(added)) <= {4 * a for a in range(-32, 32)}


def _pairs(change):
    return redecoded("q3_k", lambda b: np.hstack([b[:, :32], change(b[:, 32:96]), b[:, 96:]]))


def _third(change):
    return redecoded("q3_k", lambda b: np.hstack([change(b[:, :32]), b[:, 32:]]))


def _scales(change):
    return redecoded("q3_k", lambda b: np.hstack([b[:, :96], change(b[:, 96:108].copy()), b[:, 108:]]))


WRONG = {
    "first code in the high bits": _pairs(turned),
    "halves exchanged": _pairs(lambda u: np.roll(u, 32, axis=-1)),
    "third bits the wrong way round": _third(np.invert),
    "third bits lost": _third(np.zeros_like),
    "third bits of neighbours in a byte": _third(lambda h: np.packbits(_bits(h), axis=-1, bitorder="little")),
    "third bits from the high end": _third(reversed_bits),
    "high scales first": _scales(lambda s: np.hstack([swapped(s[:, :8], 0), s[:, 8:]])),
    "high bits of scales lost": _scales(lambda s: s & np.uint8([255] * 8 + [0] * 4)),
    "high bits of scales from the high end": _scales(lambda s: np.hstack([s[:, :8], turned(s[:, 8:])])),
    "sub-blocks of 32": _scales(lambda s: np.hstack([s[:, [0, 0, 2, 2, 4, 4, 6, 6]], s[:, [8, 8, 10, 10]]])),
    "unit first": redecoded("q3_k", lambda b: np.roll(b, -2, axis=-1) & np.uint8([255] * 109 + [0xBB])),
}


def _bits(h):
    """Bit j of byte l, in the order l, j, as if they were those of numbers 8 l + j; here number i has bit i div 32."""
    return np.unpackbits(h, axis=-1, bitorder="little").reshape(len(h), 8, 32).swapaxes(1, 2).reshape(len(h), 256)
