"""Laws of decode_q2_k."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_decoded_alone, check_units_are_factors, check_units_of_0
from tests.laws.blocks import raw, raw_edges, redecoded, swapped, turned, with_units
from tests.support import both


def arguments():
    return raw("q2_k")


def edges():
    return raw_edges("q2_k")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "q2_k", **arguments)


@both
@given(arguments())
def test_the_numbers_are_factors(engine, arguments):
    check_units_are_factors(engine, "q2_k", **arguments)


@both
@given(arguments())
def test_numbers_of_0_give_0(engine, arguments):
    check_units_of_0(engine, "q2_k", **arguments)


@both
@given(arguments())
def test_without_minima_it_is_never_below_0(engine, arguments):
    blocks = with_units("q2_k", arguments["packed"], 1).reshape(-1, 84)
    assert (engine.decode_q2_k(np.hstack([blocks[:, :16] & 15, blocks[:, 16:]])) >= 0).all()


def _pairs(change):
    return redecoded("q2_k", lambda b: np.hstack([b[:, :16], change(b[:, 16:80]), b[:, 80:]]))


WRONG = {
    "first code in the high bits": _pairs(turned),
    "codes 4 j to 4 j + 3 in a byte": _pairs(lambda u: _neighbours(u)),
    "halves exchanged": _pairs(lambda u: np.roll(u, 32, axis=-1)),
    "scales in the high nibbles": redecoded("q2_k", lambda b: np.hstack([swapped(b[:, :16], 0), b[:, 16:]])),
    "sub-blocks of 32": redecoded("q2_k", lambda b: np.hstack([np.repeat(b[:, :16:2], 2, axis=-1), b[:, 16:]])),
    "dmin before d": redecoded("q2_k", lambda b: b[:, [*range(80), 82, 83, 80, 81]]),
    "the minimum added": redecoded("q2_k", lambda b: b ^ np.uint8([0] * 83 + [128])),
    "numbers first": redecoded("q2_k", lambda b: np.roll(b, -4, axis=-1) & np.uint8([255] * 81 + [0xBB, 255, 0xBB])),
    "rounded to float16": lambda packed: refq.decode_q2_k(packed).astype(np.float16).astype(np.float32),
}


def _neighbours(u):
    codes = np.stack([u >> shift & 3 for shift in (0, 2, 4, 6)], axis=-1).reshape(len(u), 2, 4, 32).swapaxes(1, 2)
    return np.bitwise_or.reduce(codes << np.uint8([[[0]], [[2]], [[4]], [[6]]]), axis=1).reshape(len(u), 64)
