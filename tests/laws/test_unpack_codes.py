"""Laws of unpack_codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_pack_codes
from tests.support import both, int_arrays


def arguments():
    return test_pack_codes.arguments().map(_packed)


def edges():
    return map(_packed, test_pack_codes.edges())


def _packed(arguments):
    q, bits = arguments["q"], arguments["bits"]
    return {"packed": refq.pack_codes(q, bits), "bits": bits, "length": q.shape[-1]}


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    q = engine.unpack_codes(**arguments)
    assert q.dtype == np.int32
    np.testing.assert_array_equal(engine.pack_codes(q, arguments["bits"]), arguments["packed"])


@both
@given(st.integers(1, 8), int_arrays((2, 8), 0, 255, np.uint8))
def test_every_byte_string_of_eight_codes_is_a_spelling(engine, bits, packed):
    packed = packed[:, :bits]
    np.testing.assert_array_equal(engine.pack_codes(engine.unpack_codes(packed, bits, 8), bits), packed)


@both
@given(arguments(), st.integers(0, 7))
def test_an_unused_bit_is_noticed(engine, arguments, place):
    used = arguments["bits"] * arguments["length"]
    if used % 8 <= place and used % 8 and arguments["packed"].size:
        arguments["packed"][..., -1] |= np.uint8(1 << place)
        with pytest.raises(refq.errors.FormatError, match="unused bits"):
            engine.unpack_codes(**arguments)


def _rolled(packed, bits, length):
    return (lambda q: np.roll(q, 1, axis=-1))(refq.unpack_codes(packed, bits, length))


def _unsigned(packed, bits, length):
    return refq.unpack_codes(packed, bits, length) % 2**bits


def _offset(packed, bits, length):
    return _unsigned(packed, bits, length).astype(np.int32) - 2 ** (bits - 1)


def _high_nibble_first(packed, bits, length):
    q = refq.unpack_codes(packed, bits, length)
    if bits == 4 and length > 1:
        q[..., : length // 2 * 2] = (
            q[..., : length // 2 * 2].reshape(*q.shape[:-1], -1, 2)[..., ::-1].reshape(*q.shape[:-1], -1)
        )
    return q


def _tail_ignored(packed, bits, length):
    used = length * bits
    if packed.dtype == np.uint8 and packed.shape[-1] == -(-used // 8) and used % 8:
        packed = packed.copy()
        packed[..., -1] &= np.uint8((1 << used % 8) - 1)
    return refq.unpack_codes(packed, bits, length)


def _length_ignored(packed, bits, length):
    if packed.dtype != np.uint8 or length < 0:
        return refq.unpack_codes(packed, bits, length)
    size = -(-length * bits // 8)
    padded = np.zeros((*packed.shape[:-1], size), np.uint8)
    padded[..., : packed.shape[-1]] = packed[..., :size]
    return refq.unpack_codes(padded, bits, length)


WRONG = {
    "unsigned": _unsigned,
    "minus 2**(bits - 1)": _offset,
    "high nibble first": _high_nibble_first,
    "one place further": _rolled,
    "tail ignored": _tail_ignored,
    "length ignored": _length_ignored,
}
