"""Laws of decode_mxfp4."""

import numpy as np
from hypothesis import given

from tests.laws.block_laws import check_decoded_alone
from tests.laws.blocks import halves, raw, raw_edges, redecoded, swapped
from tests.support import both


def arguments():
    return raw("mxfp4").map(_finite)


def edges():
    return map(_finite, raw_edges("mxfp4"))


def _finite(arguments):
    packed = arguments["packed"].copy()
    packed[..., ::17] = np.minimum(packed[..., ::17], 252)
    return {"packed": packed}


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "mxfp4", **arguments)


@both
@given(arguments())
def test_the_next_exponent_doubles(engine, arguments):
    packed = arguments["packed"]
    packed[..., ::17] = np.clip(packed[..., ::17], 2, 251)
    larger = packed.copy()
    larger[..., ::17] += 1
    np.testing.assert_array_equal(engine.decode_mxfp4(larger), 2 * engine.decode_mxfp4(packed))


@both
@given(arguments())
def test_an_exponent_of_127_gives_e2m1(engine, arguments):
    packed = arguments["packed"]
    packed[..., ::17] = 127
    assert set(np.abs(np.unique(engine.decode_mxfp4(packed)))) <= set(engine.e2m1_codebook())


WRONG = {
    "first code in the high nibble": redecoded("mxfp4", lambda b: swapped(b, 1)),
    "codes 2 j and 2 j + 1 in a byte": redecoded("mxfp4", lambda b: halves(b, 1)),
    "the exponent last": redecoded("mxfp4", lambda b: np.roll(b, -1, axis=-1) & np.uint8([127] + [255] * 16)),
    "doubled": redecoded("mxfp4", lambda b: np.hstack([b[:, :1] + (b[:, :1] < 252), b[:, 1:]])),
    "a sign of its own in the lowest bit": redecoded("mxfp4", lambda b: np.hstack([b[:, :1], _signs(b[:, 1:])])),
    "subnormal powers of two are 0": lambda packed: _normal(packed),
}


def _signs(raw):
    return (raw & 0x11) << 3 | (raw & 0xEE) >> 1


def _normal(packed):
    x = redecoded("mxfp4", lambda b: b)(packed)
    return np.where(np.abs(x) < 2.0**-126, np.float32(0), x)
