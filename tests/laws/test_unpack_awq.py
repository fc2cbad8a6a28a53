"""Laws of unpack_awq."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import test_pack_awq
from tests.support import both


def arguments():
    return test_pack_awq.arguments().map(_packed)


def edges():
    return map(_packed, test_pack_awq.edges())


def _packed(arguments):
    return {"packed": refq.pack_awq(**arguments)}


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    q = engine.unpack_awq(**arguments)
    assert q.dtype == np.int32
    np.testing.assert_array_equal(engine.pack_awq(q), arguments["packed"])


@both
@given(arguments())
def test_output_1_is_in_nibble_4(engine, arguments):
    u = arguments["packed"].view(np.uint32)
    np.testing.assert_array_equal(engine.unpack_awq(**arguments)[1::8], (u >> 16 & 15).astype(np.int32).T - 8)


@both
@given(arguments())
def test_an_input_stands_alone(engine, arguments):
    q = engine.unpack_awq(**arguments)
    for i, row in enumerate(arguments["packed"]):
        np.testing.assert_array_equal(engine.unpack_awq(row[None])[:, 0], q[:, i])


def _reordered(order):
    def unpack_awq(packed):
        u = refq.unpack_compressed_tensors(packed, 4, 8 * packed.shape[1])
        runs = u.reshape(len(u), -1, 8)[..., list(order)].reshape(u.shape)
        return np.ascontiguousarray(runs.T)

    def checked(packed):
        refq.unpack_awq(packed)  # for the errors
        return unpack_awq(packed)

    return checked


WRONG = {
    "in order": _reordered(range(8)),
    "the order of packing again": _reordered((0, 2, 4, 6, 1, 3, 5, 7)),
    "unsigned": lambda packed: refq.unpack_awq(packed) + np.int32(8),
    "1 more": lambda packed: refq.unpack_awq(packed) + np.int32(1),
    "turned": lambda packed: np.ascontiguousarray(refq.unpack_awq(packed).T),
}
