"""Laws of pack_gptq."""

import numpy as np
from hypothesis import given

import refq
from refq.grids.arguments_words import GPTQ_BITS
from tests.laws import words
from tests.laws.words import words_of
from tests.support import both


def arguments():
    return words.codes(GPTQ_BITS, axis=1)


def edges():
    return words.large(GPTQ_BITS, axis=1)


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    packed = engine.pack_gptq(**arguments)
    q, bits = arguments["q"], arguments["bits"]
    assert packed.dtype == np.int32
    assert packed.shape == (q.shape[1] * bits // 32, q.shape[0])
    np.testing.assert_array_equal(engine.unpack_gptq(packed, bits), q)


@both
@given(arguments())
def test_turned_it_is_that_of_compressed_tensors(engine, arguments):
    np.testing.assert_array_equal(engine.pack_gptq(**arguments).T, engine.pack_compressed_tensors(**arguments))


@both
@given(arguments())
def test_outputs_do_not_meet(engine, arguments):
    packed = engine.pack_gptq(**arguments)
    for o, row in enumerate(arguments["q"]):
        np.testing.assert_array_equal(engine.pack_gptq(row[None], arguments["bits"])[:, 0], packed[:, o])


def _wrong(turned=True, offset=True, **how):
    def pack_gptq(q, bits):
        refq.pack_gptq(q, bits)  # for the errors
        packed = words_of(q + (2 ** (bits - 1) if offset else 0), bits, **how)
        return np.ascontiguousarray(packed.T) if turned else packed

    return pack_gptq


def _along_the_outputs(q, bits):
    right = refq.pack_gptq(q, bits)
    if q.shape[0] * bits % 32:
        return right.T
    return refq.pack_compressed_tensors(np.ascontiguousarray(q.T), bits).reshape(right.shape)


def _awq_order(q, bits):
    refq.pack_gptq(q, bits)
    runs = q.reshape(len(q), -1, 8)[..., [0, 2, 4, 6, 1, 3, 5, 7]] if q.shape[1] % 8 == 0 else q
    return refq.pack_gptq(runs.reshape(q.shape), bits)


WRONG = {
    "not turned": _wrong(turned=False),
    "two's complement": _wrong(offset=False),
    "highest code first": _wrong(highest_first=True),
    "words that codes of 3 bits do not cross": _wrong(crossing=False),
    "along the outputs": _along_the_outputs,
    "AWQ's order": _awq_order,
    "codes wrapped": lambda q, bits: np.ascontiguousarray(words_of(q + 2 ** (bits - 1), bits).T),
}
