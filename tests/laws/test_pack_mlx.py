"""Laws of pack_mlx."""

import numpy as np
from hypothesis import given

import refq
from refq.grids.arguments_words import MLX_BITS
from tests.laws import words
from tests.laws.words import words_of
from tests.support import both


def arguments():
    return words.codes(MLX_BITS, axis=1)


def edges():
    return words.large(MLX_BITS, axis=1)


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    packed = engine.pack_mlx(**arguments)
    q, bits = arguments["q"], arguments["bits"]
    assert packed.dtype == np.uint32
    assert packed.shape == (q.shape[0], q.shape[1] * bits // 32)
    np.testing.assert_array_equal(engine.unpack_mlx(packed, bits), q)


@both
@given(arguments())
def test_as_int32_it_is_that_of_compressed_tensors(engine, arguments):
    found = engine.pack_mlx(**arguments).view(np.int32)
    np.testing.assert_array_equal(found, engine.pack_compressed_tensors(**arguments))


@both
@given(arguments())
def test_rows_do_not_meet(engine, arguments):
    packed = engine.pack_mlx(**arguments)
    for o, row in enumerate(arguments["q"]):
        np.testing.assert_array_equal(engine.pack_mlx(row[None], arguments["bits"])[0], packed[o])


def _wrong(offset=True, dtype=np.uint32, **how):
    def pack_mlx(q, bits):
        refq.pack_mlx(q, bits)  # for the errors
        return words_of(q + (2 ** (bits - 1) if offset else 0), bits, **how).view(dtype)

    return pack_mlx


def _turned(q, bits):
    return np.ascontiguousarray(refq.pack_mlx(q, bits).T)


WRONG = {
    "two's complement": _wrong(offset=False),
    "as int32": _wrong(dtype=np.int32),
    "highest first": _wrong(highest_first=True),
    "words that codes do not cross": _wrong(crossing=False),
    "as in GPTQ": _turned,
    "codes wrapped": lambda q, bits: words_of(q + 2 ** (bits - 1), bits).view(np.uint32),
}
