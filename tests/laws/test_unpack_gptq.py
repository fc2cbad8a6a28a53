"""Laws of unpack_gptq."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import test_pack_gptq
from tests.support import both


def arguments():
    return test_pack_gptq.arguments().map(_packed)


def edges():
    return map(_packed, test_pack_gptq.edges())


def _packed(arguments):
    return {"packed": refq.pack_gptq(**arguments), "bits": arguments["bits"]}


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    q = engine.unpack_gptq(**arguments)
    assert q.dtype == np.int32
    np.testing.assert_array_equal(engine.pack_gptq(q, arguments["bits"]), arguments["packed"])


@both
@given(arguments())
def test_every_code_is_on_the_grid(engine, arguments):
    half = 2 ** (arguments["bits"] - 1)
    q = engine.unpack_gptq(**arguments)
    assert q.min() >= -half
    assert q.max() < half


@both
@given(arguments())
def test_an_output_stands_alone(engine, arguments):
    q = engine.unpack_gptq(**arguments)
    for o in range(len(q)):
        alone = engine.unpack_gptq(np.ascontiguousarray(arguments["packed"][:, o : o + 1]), arguments["bits"])
        np.testing.assert_array_equal(alone[0], q[o])


def _unsigned(packed, bits):
    return refq.unpack_gptq(packed, bits) + np.int32(2 ** (bits - 1))


def _sign_extended(packed, bits):
    u = _unsigned(packed, bits)
    return np.where(u >= 2 ** (bits - 1), u - 2**bits, u).astype(np.int32)


def _eight_below(packed, bits):
    return _unsigned(packed, bits) - np.int32(8)


def _by_rows(packed, bits):
    right = refq.unpack_gptq(packed, bits)
    return refq.unpack_gptq(np.ascontiguousarray(packed.reshape(packed.shape[::-1]).T), bits).reshape(right.shape)


def _without_the_word_border(packed, bits):
    q = refq.unpack_gptq(packed, bits)
    if bits == 3:
        u = packed.T.astype(np.uint32)[..., None] >> (np.arange(10) * 3).astype(np.uint32) & np.uint32(7)
        flat = u.reshape(len(q), -1).astype(np.int32)
        q[:, : flat.shape[1]] = flat - 4
    return q


WRONG = {
    "unsigned": _unsigned,
    "sign extended": _sign_extended,
    "8 less, at any width": _eight_below,
    "not turned": lambda packed, bits: refq.unpack_gptq(packed, bits).T,
    "words taken in the order of rows": _by_rows,
    "ten codes of 3 bits a word": _without_the_word_border,
}
