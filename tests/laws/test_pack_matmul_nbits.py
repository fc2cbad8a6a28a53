"""Laws of pack_matmul_nbits."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.grids.arguments_words import NBITS_BITS
from tests.laws.words import words_of
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    bits = draw(st.sampled_from(NBITS_BITS))
    shape = draw(st.integers(1, 3)), draw(st.sampled_from([1, 7, 16, 17, 32, 40]))
    q = draw(int_arrays(shape, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    return {"q": q, "bits": bits, "block_size": draw(st.sampled_from([16, 32]))}


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    packed = engine.pack_matmul_nbits(**arguments)
    q, bits, size = arguments.values()
    assert packed.dtype == np.uint8
    assert packed.shape == (len(q), -(-q.shape[1] // size), size * bits // 8)
    np.testing.assert_array_equal(engine.unpack_matmul_nbits(packed, bits, q.shape[1]), q)


@both
@given(arguments())
def test_blocks_do_not_meet(engine, arguments):
    packed = engine.pack_matmul_nbits(**arguments)
    q, bits, size = arguments.values()
    for b in range(packed.shape[1]):
        alone = engine.pack_matmul_nbits(q[:, b * size : (b + 1) * size], bits, size)
        np.testing.assert_array_equal(alone[:, 0], packed[:, b])


@both
@given(arguments())
def test_whole_blocks_are_the_bytes_of_mlx(engine, arguments):
    q, bits, size = arguments.values()
    whole = q[:, : q.shape[1] // size * size]
    packed = engine.pack_matmul_nbits(whole, bits, size)
    found = engine.pack_mlx(whole, bits).astype("<u4").view(np.uint8)
    np.testing.assert_array_equal(packed.reshape(found.shape), found)


def _wrong(offset=True, padding=0, whole=True, **how):
    def pack_matmul_nbits(q, bits, block_size):
        right = refq.pack_matmul_nbits(q, bits, block_size)
        u = q + (2 ** (bits - 1) if offset else 0)
        u = np.pad(u, [(0, 0), (0, -q.shape[1] % block_size)], constant_values=2 ** (bits - 1) if padding else 0)
        if not offset:
            u[:, q.shape[1] :] = 0
        return np.ascontiguousarray(words_of(u, bits, **how)).view(np.uint8).reshape(right.shape)

    return pack_matmul_nbits


def _halves(q, bits, block_size):
    """As llama.cpp: byte j holds codes j and j + half a block."""
    if bits != 4:
        return refq.pack_matmul_nbits(q, bits, block_size)
    filled = np.pad(q, [(0, 0), (0, -q.shape[1] % block_size)], constant_values=-8)
    runs = filled.reshape(len(q), -1, 2, block_size // 2).transpose(0, 1, 3, 2).reshape(filled.shape)
    return refq.pack_matmul_nbits(runs, bits, block_size)


WRONG = {
    "two's complement": _wrong(offset=False),
    "padded with code 0": _wrong(padding=1),
    "highest first": _wrong(highest_first=True),
    "halves of a block": _halves,
    "flat": lambda q, bits, block_size: refq.pack_matmul_nbits(q, bits, block_size).reshape(len(q), -1),
    "blocks first": lambda q, bits, block_size: np.ascontiguousarray(
        refq.pack_matmul_nbits(q, bits, block_size).swapaxes(0, 1)
    ),
}
