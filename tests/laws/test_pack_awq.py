"""Laws of pack_awq."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import words
from tests.laws.words import words_of
from tests.support import both


def arguments():
    return words.codes((4,), axis=0).map(_codes)


def edges():
    return map(_codes, words.large((4,), axis=0))


def _codes(arguments):
    return {"q": arguments["q"]}


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    packed, q = engine.pack_awq(**arguments), arguments["q"]
    assert packed.dtype == np.int32
    assert packed.shape == (q.shape[1], q.shape[0] // 8)
    np.testing.assert_array_equal(engine.unpack_awq(packed), q)


@both
@given(arguments(), st.data())
def test_a_change_of_one_code_changes_one_nibble(engine, arguments, data):
    q = arguments["q"]
    o, i = (data.draw(st.integers(0, size - 1)) for size in q.shape)
    changed = q.copy()
    changed[o, i] ^= 1
    differs = (engine.pack_awq(q) ^ engine.pack_awq(changed)).view(np.uint32)
    assert np.count_nonzero(differs) == 1
    assert differs[i, o // 8] == 1 << 4 * [0, 4, 1, 5, 2, 6, 3, 7][o % 8]


@both
@given(arguments())
def test_inputs_do_not_meet(engine, arguments):
    packed = engine.pack_awq(**arguments)
    for i, column in enumerate(arguments["q"].T):
        np.testing.assert_array_equal(engine.pack_awq(column[:, None])[0], packed[i])


def _wrong(order=(0, 2, 4, 6, 1, 3, 5, 7), offset=8):
    def pack_awq(q):
        refq.pack_awq(q)  # for the errors
        runs = q.T.reshape(q.shape[1], -1, 8)[..., list(order)].reshape(q.shape[1], -1)
        return words_of(runs + offset, 4)

    return pack_awq


def _along_the_inputs(q):
    right = refq.pack_awq(q)
    return right if q.shape[1] % 8 else refq.pack_gptq(q, 4).reshape(right.shape)


WRONG = {
    "in order": _wrong(order=range(8)),
    "the inverse order": _wrong(order=(0, 4, 1, 5, 2, 6, 3, 7)),
    "highest first": _wrong(order=(7, 5, 3, 1, 6, 4, 2, 0)),
    "two's complement": _wrong(offset=0),
    "zero points less 1": _wrong(offset=7),
    "along the inputs": _along_the_inputs,
    "turned": lambda q: np.ascontiguousarray(refq.pack_awq(q).T),
    "codes wrapped": lambda q: words_of(
        q.T.reshape(q.shape[1], -1, 8)[..., [0, 2, 4, 6, 1, 3, 5, 7]].reshape(q.shape[1], -1) + 8, 4
    ),
}
