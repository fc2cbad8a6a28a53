"""Laws of unpack_q8_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.block_laws import check_unpacked_form, check_unpacked_meaning
from tests.laws.blocks import big_endian, raw, raw_edges, reread
from tests.support import both


def arguments():
    return raw("q8_0")


def edges():
    return raw_edges("q8_0")


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    np.testing.assert_array_equal(engine.pack_q8_0(*engine.unpack_q8_0(**arguments)), arguments["packed"])


@both
@given(arguments())
def test_types_and_shapes(engine, arguments):
    check_unpacked_form(engine, "q8_0", **arguments)


@both
@given(arguments())
def test_it_says_what_decode_gives(engine, arguments):
    check_unpacked_meaning(engine, "q8_0", **arguments)


WRONG = {
    "codes + 128": reread("q8_0", lambda b: b ^ np.uint8([0, 0] + [128] * 32)),
    "unsigned": lambda packed: (refq.unpack_q8_0(packed)[0] & 255, refq.unpack_q8_0(packed)[1]),
    "the scale without a sign": reread("q8_0", lambda b: b & np.uint8([255, 127] + [255] * 32)),
    "big-endian scale": reread("q8_0", big_endian),
    "codes backwards": reread("q8_0", lambda b: np.hstack([b[:, :2], b[:, :1:-1]])),
}
