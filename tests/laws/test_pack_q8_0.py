"""Laws of pack_q8_0."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.blocks import big_endian, raw, raw_edges, rewritten
from tests.support import both


def arguments():
    return raw("q8_0").map(_parts)


def edges():
    return map(_parts, raw_edges("q8_0"))


def _parts(arguments):
    return dict(zip(("q", "scale"), refq.unpack_q8_0(**arguments), strict=True))


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    packed = engine.pack_q8_0(**arguments)
    for found, part in zip(engine.unpack_q8_0(packed), arguments.values(), strict=True):
        np.testing.assert_array_equal(found, part)


@both
@given(arguments())
def test_form(engine, arguments):
    q, packed = arguments["q"], engine.pack_q8_0(**arguments)
    assert packed.dtype == np.uint8
    assert packed.shape == (*q.shape[:-1], q.shape[-1] // 32 * 34)


@both
@given(arguments())
def test_any_integer_type(engine, arguments):
    expected = engine.pack_q8_0(**arguments)
    for dtype in (np.int8, np.int16, np.int64):
        np.testing.assert_array_equal(engine.pack_q8_0(**arguments | {"q": arguments["q"].astype(dtype)}), expected)


def _half(scale):
    return scale.astype(np.float16).astype(np.float32) if np.all(np.abs(scale) < 65520) else scale


WRONG = {
    "codes + 128": rewritten("q8_0", lambda b: b ^ np.uint8([0, 0] + [128] * 32)),
    "the scale without a sign": rewritten("q8_0", lambda b: b & np.uint8([255, 127] + [255] * 32)),
    "big-endian scale": rewritten("q8_0", big_endian),
    "scale at the end": rewritten("q8_0", lambda b: np.roll(b, -2, axis=-1)),
    "scale rounded": lambda q, scale: refq.pack_q8_0(q, _half(scale)),
    "codes clipped": lambda q, scale: refq.pack_q8_0(np.clip(q, -127, 127), scale),
}
