"""Laws of pack_compressed_tensors."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import test_pack_codes
from tests.laws.test_pack_codes import stream
from tests.support import both


def arguments():
    return test_pack_codes.arguments(smallest=2)


def edges():
    return test_pack_codes.edges(smallest=2)


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    packed = engine.pack_compressed_tensors(**arguments)
    q, bits = arguments["q"], arguments["bits"]
    assert packed.dtype == np.int32
    assert packed.shape == (*q.shape[:-1], -(-q.shape[-1] * bits // 32))
    np.testing.assert_array_equal(engine.unpack_compressed_tensors(packed, bits, q.shape[-1]), q)


@both
@given(arguments())
def test_the_canonical_bytes_with_the_highest_bits_turned(engine, arguments):
    q, bits = arguments["q"], arguments["bits"]
    turned = np.where(q < 0, q + 2 ** (bits - 1), q - 2 ** (bits - 1)).astype(np.int32)
    expected = engine.pack_codes(turned, bits)
    found = engine.pack_compressed_tensors(q, bits).astype("<i4").view(np.uint8)
    np.testing.assert_array_equal(found[..., : expected.shape[-1]], expected)
    assert not found[..., expected.shape[-1] :].any()


@both
@given(arguments())
def test_rows_do_not_meet(engine, arguments):
    q, bits = arguments["q"], arguments["bits"]
    packed = engine.pack_compressed_tensors(**arguments)
    for index in np.ndindex(q.shape[:-1]):
        np.testing.assert_array_equal(engine.pack_compressed_tensors(q[index], bits), packed[index])


def _wrong(twos_complement=False, order="<i4", **how):
    def pack_compressed_tensors(q, bits):
        refq.pack_compressed_tensors(q, bits)  # for the errors
        packed = stream(q, bits, 0 if twos_complement else 2 ** (bits - 1), 32, **how)
        return np.ascontiguousarray(packed).view(order).astype(np.int32)

    return pack_compressed_tensors


def _padded_with_codes(q, bits):
    width = [(0, 0)] * (q.ndim - 1) + [(0, -q.shape[-1] % (32 // bits))]
    return refq.pack_compressed_tensors(np.pad(q, width), bits)


def _awq_order(q, bits):
    refq.pack_compressed_tensors(q, bits)
    whole = q.shape[-1] // 8 * 8
    runs = q[..., :whole].reshape(*q.shape[:-1], whole // 8, 8)[..., [0, 2, 4, 6, 1, 3, 5, 7]]
    runs = runs.reshape(*q.shape[:-1], whole)
    return refq.pack_compressed_tensors(np.concatenate([runs, q[..., whole:]], axis=-1), bits)


WRONG = {
    "two's complement": _wrong(twos_complement=True),
    "words as before 0.18": _wrong(crossing=False),
    "highest bit first": _wrong(highest_first=True),
    "big-endian words": _wrong(order=">i4"),
    "tail of ones": _wrong(padding=1),
    "padded with code 0": _padded_with_codes,
    "AWQ's order": _awq_order,
    "codes wrapped": lambda q, bits: stream(q, bits, 2 ** (bits - 1), 32).view("<i4"),
}
