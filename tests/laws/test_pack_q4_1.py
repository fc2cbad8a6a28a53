"""Laws of pack_q4_1."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.blocks import big_endian, neighbours, raw, raw_edges, rewritten, swapped
from tests.support import both


def arguments():
    return raw("q4_1").map(_parts)


def edges():
    return map(_parts, raw_edges("q4_1"))


def _parts(arguments):
    return dict(zip(("q", "scale", "minimum"), refq.unpack_q4_1(**arguments), strict=True))


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    packed = engine.pack_q4_1(**arguments)
    for found, part in zip(engine.unpack_q4_1(packed), arguments.values(), strict=True):
        np.testing.assert_array_equal(found, part)


@both
@given(arguments())
def test_form(engine, arguments):
    q, packed = arguments["q"], engine.pack_q4_1(**arguments)
    assert packed.dtype == np.uint8
    assert packed.shape == (*q.shape[:-1], q.shape[-1] // 32 * 20)


@both
@given(arguments())
def test_any_integer_type(engine, arguments):
    expected = engine.pack_q4_1(**arguments)
    for dtype in (np.int8, np.int16, np.int64):
        np.testing.assert_array_equal(engine.pack_q4_1(**arguments | {"q": arguments["q"].astype(dtype)}), expected)


def _half(scale):
    return scale.astype(np.float16).astype(np.float32) if np.all(np.abs(scale) < 65520) else scale


WRONG = {
    "codes + 8": rewritten("q4_1", lambda b: b ^ np.uint8([0] * 4 + [0x88] * 16)),
    "codes 2 j and 2 j + 1 in a byte": rewritten("q4_1", lambda b: neighbours(b, 4)),
    "first code in the high nibble": rewritten("q4_1", lambda b: swapped(b, 4)),
    "minimum before scale": rewritten("q4_1", lambda b: b[:, [2, 3, 0, 1, *range(4, 20)]]),
    "big-endian minimum": rewritten("q4_1", lambda b: big_endian(b, 2)),
    "scale rounded": lambda q, scale, minimum: refq.pack_q4_1(q, _half(scale), minimum),
    "minimum rounded": lambda q, scale, minimum: refq.pack_q4_1(q, scale, _half(minimum)),
    "codes clipped": lambda q, scale, minimum: refq.pack_q4_1(np.clip(q, 0, 15), scale, minimum),
}
