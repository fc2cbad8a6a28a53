"""Laws of unpack_mlx."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import test_pack_mlx
from tests.support import both


def arguments():
    return test_pack_mlx.arguments().map(_packed)


def edges():
    return map(_packed, test_pack_mlx.edges())


def _packed(arguments):
    return {"packed": refq.pack_mlx(**arguments), "bits": arguments["bits"]}


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    q = engine.unpack_mlx(**arguments)
    assert q.dtype == np.int32
    np.testing.assert_array_equal(engine.pack_mlx(q, arguments["bits"]), arguments["packed"])


@both
@given(arguments())
def test_the_first_code_is_the_lowest_bits(engine, arguments):
    packed, bits = arguments.values()
    first = (packed[:, 0] & np.uint32(2**bits - 1)).astype(np.int32) - 2 ** (bits - 1)
    np.testing.assert_array_equal(engine.unpack_mlx(packed, bits)[:, 0], first)


@both
@given(arguments())
def test_a_row_stands_alone(engine, arguments):
    q = engine.unpack_mlx(**arguments)
    for o, row in enumerate(arguments["packed"]):
        np.testing.assert_array_equal(engine.unpack_mlx(row[None], arguments["bits"])[0], q[o])


def _sign_extended(packed, bits):
    u = refq.unpack_mlx(packed, bits) + 2 ** (bits - 1)
    return np.where(u >= 2 ** (bits - 1), u - 2**bits, u).astype(np.int32)


def _per_word(packed, bits):
    q = refq.unpack_mlx(packed, bits)
    each = 32 // bits
    u = packed[..., None] >> (np.arange(each) * bits).astype(np.uint32) & np.uint32(2**bits - 1)
    flat = u.reshape(len(q), -1).astype(np.int32) - 2 ** (bits - 1)
    q[:, : flat.shape[1]] = flat
    return q


WRONG = {
    "unsigned": lambda packed, bits: refq.unpack_mlx(packed, bits) + np.int32(2 ** (bits - 1)),
    "sign extended": _sign_extended,
    "8 less, at any width": lambda packed, bits: refq.unpack_mlx(packed, bits) + np.int32(2 ** (bits - 1) - 8),
    "words that codes do not cross": _per_word,
    "turned": lambda packed, bits: np.ascontiguousarray(refq.unpack_mlx(packed, bits).T),
}
