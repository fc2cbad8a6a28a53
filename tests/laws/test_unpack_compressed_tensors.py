"""Laws of unpack_compressed_tensors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_pack_codes
from tests.support import both


def arguments():
    return test_pack_codes.arguments(smallest=2).map(_packed)


def edges():
    return map(_packed, test_pack_codes.edges(smallest=2))


def _packed(arguments):
    q, bits = arguments["q"], arguments["bits"]
    return {"packed": refq.pack_compressed_tensors(q, bits), "bits": bits, "length": q.shape[-1]}


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    q = engine.unpack_compressed_tensors(**arguments)
    assert q.dtype == np.int32
    np.testing.assert_array_equal(engine.pack_compressed_tensors(q, arguments["bits"]), arguments["packed"])


@both
@given(arguments(), st.integers(0, 31))
def test_an_unused_bit_is_noticed(engine, arguments, place):
    used = arguments["bits"] * arguments["length"]
    if used % 32 <= place and used % 32 and arguments["packed"].size:
        arguments["packed"].view(np.uint32)[..., -1] |= np.uint32(1 << place)
        with pytest.raises(refq.errors.FormatError, match="unused bits"):
            engine.unpack_compressed_tensors(**arguments)


@both
@given(arguments())
def test_the_bytes_of_pack_codes_half_a_range_lower(engine, arguments):
    packed, bits, length = arguments.values()
    stream = packed.astype("<i4").view(np.uint8)[..., : -(-length * bits // 8)]
    u = engine.unpack_codes(np.ascontiguousarray(stream), bits, length) & (2**bits - 1)
    np.testing.assert_array_equal(engine.unpack_compressed_tensors(**arguments), u - 2 ** (bits - 1))


@both
@given(arguments())
def test_a_row_stands_alone(engine, arguments):
    q = engine.unpack_compressed_tensors(**arguments)
    for i in range(len(q) if q.ndim > 1 else 0):
        alone = engine.unpack_compressed_tensors(**arguments | {"packed": arguments["packed"][i]})
        np.testing.assert_array_equal(alone, q[i])


def _sign_extended(packed, bits, length):
    u = refq.unpack_compressed_tensors(packed, bits, length) + 2 ** (bits - 1)
    return np.where(u >= 2 ** (bits - 1), u - 2**bits, u).astype(np.int32)


def _unsigned(packed, bits, length):
    return refq.unpack_compressed_tensors(packed, bits, length) + np.int32(2 ** (bits - 1))


def _eight_below(packed, bits, length):
    return refq.unpack_compressed_tensors(packed, bits, length) + np.int32(2 ** (bits - 1) - 8)


def _per_word(packed, bits, length):
    refq.unpack_compressed_tensors(packed, bits, length)  # for the errors
    words = packed.view(np.uint32).astype(np.uint64)
    u = (words[..., None] >> (np.arange(32 // bits) * bits).astype(np.uint64)) & np.uint64(2**bits - 1)
    u = u.reshape(*packed.shape[:-1], -1).astype(np.int32)
    q = np.zeros((*packed.shape[:-1], length), np.int32)
    q[..., : u.shape[-1]] = u[..., :length] - 2 ** (bits - 1)
    return q


def _tail_ignored(packed, bits, length):
    used = length * bits
    if packed.dtype == np.int32 and packed.shape[-1] == -(-used // 32) and used % 32 and bits <= 8:
        packed = packed.copy()
        packed.view(np.uint32)[..., -1] &= np.uint32((1 << used % 32) - 1)
    return refq.unpack_compressed_tensors(packed, bits, length)


WRONG = {
    "two's complement": _sign_extended,
    "unsigned": _unsigned,
    "minus 8 at every width": _eight_below,
    "words as before 0.18": _per_word,
    "tail ignored": _tail_ignored,
}
