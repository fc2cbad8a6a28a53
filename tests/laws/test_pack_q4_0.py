"""Laws of pack_q4_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.blocks import big_endian, neighbours, raw, raw_edges, rewritten, swapped
from tests.support import both


def arguments():
    return raw("q4_0").map(_parts)


def edges():
    return map(_parts, raw_edges("q4_0"))


def _parts(arguments):
    return dict(zip(("q", "scale"), refq.unpack_q4_0(**arguments), strict=True))


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    packed = engine.pack_q4_0(**arguments)
    for found, part in zip(engine.unpack_q4_0(packed), arguments.values(), strict=True):
        np.testing.assert_array_equal(found, part)


@both
@given(arguments())
def test_form(engine, arguments):
    q, packed = arguments["q"], engine.pack_q4_0(**arguments)
    assert packed.dtype == np.uint8
    assert packed.shape == (*q.shape[:-1], q.shape[-1] // 32 * 18)


@both
@given(arguments())
def test_any_integer_type(engine, arguments):
    expected = engine.pack_q4_0(**arguments)
    for dtype in (np.int8, np.int16, np.int64):
        np.testing.assert_array_equal(engine.pack_q4_0(**arguments | {"q": arguments["q"].astype(dtype)}), expected)


def _half(scale):
    return scale.astype(np.float16).astype(np.float32) if np.all(np.abs(scale) < 65520) else scale


WRONG = {
    "two's complement": rewritten("q4_0", lambda b: b ^ np.uint8([0, 0] + [0x88] * 16)),
    "codes 2 j and 2 j + 1 in a byte": rewritten("q4_0", lambda b: neighbours(b, 2)),
    "first code in the high nibble": rewritten("q4_0", lambda b: swapped(b, 2)),
    "the scale without a sign": rewritten("q4_0", lambda b: b & np.uint8([255, 127] + [255] * 16)),
    "big-endian scale": rewritten("q4_0", big_endian),
    "scale at the end": rewritten("q4_0", lambda b: np.roll(b, -2, axis=-1)),
    "scale rounded": lambda q, scale: refq.pack_q4_0(q, _half(scale)),
    "codes clipped": lambda q, scale: refq.pack_q4_0(np.clip(q, -8, 7), scale),
}
