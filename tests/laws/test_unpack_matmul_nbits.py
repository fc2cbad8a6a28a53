"""Laws of unpack_matmul_nbits."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import test_pack_matmul_nbits
from tests.support import both


def arguments():
    return test_pack_matmul_nbits.arguments().map(_packed)


def _packed(arguments):
    packed = refq.pack_matmul_nbits(**arguments)
    return {"packed": packed, "bits": arguments["bits"], "length": arguments["q"].shape[1]}


def _size(arguments):
    return arguments["packed"].shape[2] * 8 // arguments["bits"]


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    q = engine.unpack_matmul_nbits(**arguments)
    assert q.dtype == np.int32
    found = engine.pack_matmul_nbits(q, arguments["bits"], _size(arguments))
    np.testing.assert_array_equal(found, arguments["packed"])


@both
@given(arguments())
def test_what_stands_after_the_last_input_does_not_matter(engine, arguments):
    packed, bits, length = arguments.values()
    whole = engine.unpack_matmul_nbits(packed, bits, packed.shape[1] * _size(arguments))
    whole[:, length:] = -1
    other = engine.pack_matmul_nbits(whole, bits, _size(arguments))
    np.testing.assert_array_equal(engine.unpack_matmul_nbits(other, bits, length), whole[:, :length])


@both
@given(arguments())
def test_an_output_stands_alone(engine, arguments):
    q = engine.unpack_matmul_nbits(**arguments)
    for o, row in enumerate(arguments["packed"]):
        alone = engine.unpack_matmul_nbits(row[None], arguments["bits"], arguments["length"])
        np.testing.assert_array_equal(alone[0], q[o])


def _sign_extended(packed, bits, length):
    u = refq.unpack_matmul_nbits(packed, bits, length) + 2 ** (bits - 1)
    return np.where(u >= 2 ** (bits - 1), u - 2**bits, u).astype(np.int32)


def _high_first(packed, bits, length):
    return refq.unpack_matmul_nbits((packed << 4) | (packed >> 4) if bits == 4 else packed, bits, length)


WRONG = {
    "unsigned": lambda packed, bits, length: refq.unpack_matmul_nbits(packed, bits, length) + np.int32(2 ** (bits - 1)),
    "sign extended": _sign_extended,
    "high nibble first": _high_first,
    "from the end": lambda packed, bits, length: refq.unpack_matmul_nbits(packed, bits, length)[:, ::-1].copy(),
    "8 less, at any width": lambda packed, bits, length: (
        refq.unpack_matmul_nbits(packed, bits, length) + np.int32(2 ** (bits - 1) - 8)
    ),
}
