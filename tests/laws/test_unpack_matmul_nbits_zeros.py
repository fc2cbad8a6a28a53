"""Laws of unpack_matmul_nbits_zeros."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import test_pack_matmul_nbits_zeros
from tests.support import both


def arguments():
    return test_pack_matmul_nbits_zeros.arguments().map(_packed)


def _packed(arguments):
    zero_point, bits = arguments.values()
    return {"packed": refq.pack_matmul_nbits_zeros(zero_point, bits), "bits": bits, "blocks": zero_point.shape[1]}


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    zero_point = engine.unpack_matmul_nbits_zeros(**arguments)
    assert zero_point.dtype == np.int32
    found = engine.pack_matmul_nbits_zeros(zero_point, arguments["bits"])
    np.testing.assert_array_equal(found, arguments["packed"])


@both
@given(arguments())
def test_what_stands_after_the_last_block_does_not_matter(engine, arguments):
    packed, bits, blocks = arguments.values()
    used = blocks * bits % 8
    other = packed.copy()
    if used:
        other[:, -1] |= np.uint8(255 << used & 255)
    expected = engine.unpack_matmul_nbits_zeros(packed, bits, blocks)
    np.testing.assert_array_equal(engine.unpack_matmul_nbits_zeros(other, bits, blocks), expected)


@both
@given(arguments())
def test_an_output_stands_alone(engine, arguments):
    packed, bits, blocks = arguments.values()
    zero_point = engine.unpack_matmul_nbits_zeros(packed, bits, blocks)
    for o, row in enumerate(packed):
        np.testing.assert_array_equal(engine.unpack_matmul_nbits_zeros(row[None], bits, blocks)[0], zero_point[o])


def _sign_extended(packed, bits, blocks):
    u = refq.unpack_matmul_nbits_zeros(packed, bits, blocks) + 2 ** (bits - 1)
    return np.where(u >= 2 ** (bits - 1), u - 2**bits, u).astype(np.int32)


def _high_first(packed, bits, blocks):
    return refq.unpack_matmul_nbits_zeros((packed << 4) | (packed >> 4) if bits == 4 else packed, bits, blocks)


WRONG = {
    "unsigned": lambda packed, bits, blocks: (
        refq.unpack_matmul_nbits_zeros(packed, bits, blocks) + np.int32(2 ** (bits - 1))
    ),
    "sign extended": _sign_extended,
    "high nibble first": _high_first,
    "1 more": lambda packed, bits, blocks: refq.unpack_matmul_nbits_zeros(packed, bits, blocks) + np.int32(1),
}
