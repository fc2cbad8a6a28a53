"""Laws of unpack_q4_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.blocks import big_endian, halves, raw, raw_edges, reread, swapped
from tests.support import both


def arguments():
    return raw("q4_0")


def edges():
    return raw_edges("q4_0")


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    np.testing.assert_array_equal(engine.pack_q4_0(*engine.unpack_q4_0(**arguments)), arguments["packed"])


@both
@given(arguments())
def test_types_and_shapes(engine, arguments):
    packed = arguments["packed"]
    q, *numbers = engine.unpack_q4_0(packed)
    blocks = packed.shape[-1] // 18
    assert q.dtype == np.int32
    assert q.shape == (*packed.shape[:-1], 32 * blocks)
    for number in numbers:
        assert number.dtype == np.float32
        assert number.shape == (*packed.shape[:-1], blocks)


@both
@given(arguments())
def test_it_says_what_decode_gives(engine, arguments):
    q, scale = engine.unpack_q4_0(**arguments)
    x = q.astype(np.float32) * np.repeat(scale, 32, axis=-1)
    np.testing.assert_array_equal(engine.decode_q4_0(**arguments), x)


def _codes(packed, change):
    q, scale = refq.unpack_q4_0(packed)
    return change(q).astype(np.int32), scale


WRONG = {
    "codes 0..15": lambda packed: _codes(packed, lambda q: q + 8),
    "codes less 7": lambda packed: _codes(packed, lambda q: q + 1),
    "two's complement": lambda packed: _codes(packed, lambda q: np.where(q < 0, q + 8, q - 8)),
    "codes 2 j and 2 j + 1 in a byte": reread("q4_0", lambda b: halves(b, 2)),
    "first code in the high nibble": reread("q4_0", lambda b: swapped(b, 2)),
    "the scale without a sign": reread("q4_0", lambda b: b & np.uint8([255, 127] + [255] * 16)),
    "big-endian scale": reread("q4_0", big_endian),
}
