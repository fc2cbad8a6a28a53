"""Laws of pack_matmul_nbits_zeros."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.grids.arguments_words import NBITS_BITS
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    bits = draw(st.sampled_from(NBITS_BITS))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 9))
    return {"zero_point": draw(int_arrays(shape, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)), "bits": bits}


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    packed = engine.pack_matmul_nbits_zeros(**arguments)
    zero_point, bits = arguments.values()
    assert packed.shape == (len(zero_point), -(-zero_point.shape[1] * bits // 8))
    np.testing.assert_array_equal(engine.unpack_matmul_nbits_zeros(packed, bits, zero_point.shape[1]), zero_point)


@both
@given(arguments())
def test_they_are_the_bytes_of_a_block(engine, arguments):
    zero_point, bits = arguments.values()
    found = engine.pack_matmul_nbits_zeros(**arguments)
    block = engine.pack_matmul_nbits(zero_point, bits, 16)[:, 0]
    np.testing.assert_array_equal(found, block[:, : found.shape[1]])


@both
@given(arguments())
def test_every_output_starts_a_byte(engine, arguments):
    packed = engine.pack_matmul_nbits_zeros(**arguments)
    for o, row in enumerate(arguments["zero_point"]):
        np.testing.assert_array_equal(engine.pack_matmul_nbits_zeros(row[None], arguments["bits"])[0], packed[o])


def _high_first(zero_point, bits):
    packed = refq.pack_matmul_nbits_zeros(zero_point, bits)
    return (packed << 4) | (packed >> 4) if bits == 4 else packed


def _running_on(zero_point, bits):
    right = refq.pack_matmul_nbits_zeros(zero_point, bits)
    flat = refq.pack_matmul_nbits_zeros(zero_point.reshape(1, -1), bits).reshape(-1)
    return np.resize(np.pad(flat, (0, right.size - flat.size)), right.shape)


def _filled(zero_point, bits):
    right = refq.pack_matmul_nbits_zeros(zero_point, bits)
    unused = -zero_point.shape[1] % (8 // bits)
    return refq.pack_matmul_nbits_zeros(np.pad(zero_point, [(0, 0), (0, unused)]), bits).reshape(right.shape)


WRONG = {
    "two's complement": lambda zero_point, bits: refq.pack_codes(zero_point, bits),
    "high nibble first": _high_first,
    "outputs that share a byte": _running_on,
    "filled with zero point 0": _filled,
    "less 1": lambda zero_point, bits: refq.pack_matmul_nbits_zeros(
        np.maximum(zero_point - 1, -(2 ** (bits - 1))), bits
    ),
}
