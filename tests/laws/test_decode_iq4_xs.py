"""Laws of decode_iq4_xs."""

import numpy as np
from hypothesis import given

from tests.laws.block_laws import check_decoded_alone, check_units_are_factors, check_units_of_0
from tests.laws.blocks import halves, raw, raw_edges, redecoded, swapped, turned, with_units
from tests.support import both


def arguments():
    return raw("iq4_xs")


def edges():
    return raw_edges("iq4_xs")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_decoded_alone(engine, "iq4_xs", **arguments)


@both
@given(arguments())
def test_the_numbers_are_factors(engine, arguments):
    check_units_are_factors(engine, "iq4_xs", **arguments)


@both
@given(arguments())
def test_numbers_of_0_give_0(engine, arguments):
    check_units_of_0(engine, "iq4_xs", **arguments)


@both
@given(arguments())
def test_a_scale_of_33_gives_the_steps(engine, arguments):
    blocks = with_units("iq4_xs", arguments["packed"], 1).reshape(-1, 136)
    blocks[:, 2:4], blocks[:, 4:8] = 0xAA, 0x11
    nibbles = blocks[:, 8:].reshape(-1, 16)
    steps = engine.decode_iq4_nl(np.hstack([np.tile(np.uint8([0, 60]), (len(nibbles), 1)), nibbles]))
    np.testing.assert_array_equal(engine.decode_iq4_xs(blocks).reshape(steps.shape), steps)


def _scales(change):
    return redecoded("iq4_xs", lambda b: np.hstack([b[:, :2], change(b[:, 2:8].copy()), b[:, 8:]]))


def _neighbours(blocks):
    u = blocks[:, 8:].reshape(-1, 16)
    return np.hstack([blocks[:, :8], halves(u.copy(), 0).reshape(len(blocks), 128)])


def _far(blocks):
    """Codes j and j + 32, not j + 16, stand together."""
    low, high = (part.reshape(-1, 2, 16) for part in (blocks[:, 8:] & 15, blocks[:, 8:] >> 4))
    parts = np.stack([part[:, 0] | part[:, 1] << 4 for part in (low, high)], axis=1)
    return np.hstack([blocks[:, :8], parts.reshape(len(blocks), 128)])


WRONG = {
    "first code in the high nibble": redecoded("iq4_xs", lambda b: swapped(b, 8)),
    "codes 2 j and 2 j + 1 in a byte": redecoded("iq4_xs", _neighbours),
    "codes of 32 bytes": redecoded("iq4_xs", _far),
    "first scale in the high nibble": _scales(lambda s: np.hstack([s[:, :2], swapped(s[:, 2:], 0)])),
    "high bits lost": _scales(lambda s: s & np.uint8([0, 0, 255, 255, 255, 255])),
    "high bits from the high end": _scales(lambda s: np.hstack([turned(s[:, :2]), s[:, 2:]])),
    "high bits big-endian": _scales(lambda s: s[:, [1, 0, 2, 3, 4, 5]]),
    "nibbles before high bits": _scales(lambda s: s[:, [4, 5, 0, 1, 2, 3]]),
    "the unit without a sign": redecoded("iq4_xs", lambda b: b & np.uint8([255, 127] + [255] * 134)),
    "the table downwards": redecoded("iq4_xs", lambda b: b ^ np.uint8([0] * 8 + [255] * 128)),
}
