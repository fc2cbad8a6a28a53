"""Laws of pack_q5_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.blocks import big_endian, neighbours, raw, raw_edges, reversed_bits, rewritten, swapped
from tests.support import both


def arguments():
    return raw("q5_0").map(_parts)


def edges():
    return map(_parts, raw_edges("q5_0"))


def _parts(arguments):
    return dict(zip(("q", "scale"), refq.unpack_q5_0(**arguments), strict=True))


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    packed = engine.pack_q5_0(**arguments)
    for found, part in zip(engine.unpack_q5_0(packed), arguments.values(), strict=True):
        np.testing.assert_array_equal(found, part)


@both
@given(arguments())
def test_form(engine, arguments):
    q, packed = arguments["q"], engine.pack_q5_0(**arguments)
    assert packed.dtype == np.uint8
    assert packed.shape == (*q.shape[:-1], q.shape[-1] // 32 * 22)


@both
@given(arguments())
def test_any_integer_type(engine, arguments):
    expected = engine.pack_q5_0(**arguments)
    for dtype in (np.int8, np.int16, np.int64):
        np.testing.assert_array_equal(engine.pack_q5_0(**arguments | {"q": arguments["q"].astype(dtype)}), expected)


def _half(scale):
    return scale.astype(np.float16).astype(np.float32) if np.all(np.abs(scale) < 65520) else scale


def _from_above(blocks):
    return np.hstack([blocks[:, :2], reversed_bits(blocks[:, 2:6]), blocks[:, 6:]])


WRONG = {
    "two's complement": rewritten("q5_0", lambda b: b ^ np.uint8([0, 0] + [255] * 4 + [0] * 16)),
    "codes 2 j and 2 j + 1 in a byte": rewritten("q5_0", lambda b: neighbours(b, 6)),
    "first code in the high nibble": rewritten("q5_0", lambda b: swapped(b, 6)),
    "the scale without a sign": rewritten("q5_0", lambda b: b & np.uint8([255, 127] + [255] * 20)),
    "big-endian scale": rewritten("q5_0", big_endian),
    "scale at the end": rewritten("q5_0", lambda b: np.roll(b, -2, axis=-1)),
    "scale rounded": lambda q, scale: refq.pack_q5_0(q, _half(scale)),
    "codes clipped": lambda q, scale: refq.pack_q5_0(np.clip(q, -16, 15), scale),
    "fifth bits after the nibbles": rewritten("q5_0", lambda b: b[:, [0, 1, *range(6, 22), *range(2, 6)]]),
    "fifth bits from the high end": rewritten("q5_0", _from_above),
    "fifth bits lost": rewritten("q5_0", lambda b: b & np.uint8([255, 255] + [0] * 4 + [255] * 16)),
}
