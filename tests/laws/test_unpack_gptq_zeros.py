"""Laws of unpack_gptq_zeros."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import test_pack_gptq_zeros
from tests.laws.words import words_of
from tests.support import both


def arguments():
    return test_pack_gptq_zeros.arguments().map(_packed)


def edges():
    return map(_packed, test_pack_gptq_zeros.edges())


def _packed(arguments):
    return {"packed": refq.pack_gptq_zeros(**arguments), "bits": arguments["bits"], "version": arguments["version"]}


@both
@given(arguments())
def test_pack_undoes_it(engine, arguments):
    zero_point = engine.unpack_gptq_zeros(**arguments)
    assert zero_point.dtype == np.int32
    found = engine.pack_gptq_zeros(zero_point, arguments["bits"], arguments["version"])
    np.testing.assert_array_equal(found, arguments["packed"])


@both
@given(arguments())
def test_version_1_is_one_more_and_stays_on_the_grid(engine, arguments):
    packed, bits, _ = arguments.values()
    half = 2 ** (bits - 1)
    first, second = (engine.unpack_gptq_zeros(packed, bits, version) for version in (1, 2))
    np.testing.assert_array_equal((first - second) % 2**bits, 1)
    assert first.min() >= -half
    assert first.max() < half


@both
@given(arguments())
def test_a_group_stands_alone(engine, arguments):
    packed, bits, version = arguments.values()
    zero_point = engine.unpack_gptq_zeros(packed, bits, version)
    for g in range(len(packed)):
        alone = engine.unpack_gptq_zeros(packed[g : g + 1], bits, version)
        np.testing.assert_array_equal(alone[:, 0], zero_point[:, g])


def _carried(packed, bits, version=1):
    right = refq.unpack_gptq_zeros(packed, bits, version)
    if version == 2:
        return right
    ones = words_of(np.ones((len(packed), 32 * packed.shape[1] // bits), int), bits).view(np.uint32)
    return refq.unpack_gptq_zeros((packed.view(np.uint32) + ones).view(np.int32), bits, 2)


def _never_wrapped(packed, bits, version=1):
    return refq.unpack_gptq_zeros(packed, bits, 2) + np.int32(version == 1)


def _by_columns(packed, bits, version=1):
    right = refq.unpack_gptq_zeros(packed, bits, version)
    return np.ascontiguousarray(right.T)


WRONG = {
    "1 added to the whole word": _carried,
    "1 added without a mask": _never_wrapped,
    "always version 1": lambda packed, bits, version=1: refq.unpack_gptq_zeros(packed, bits, 1),
    "always version 2": lambda packed, bits, version=1: refq.unpack_gptq_zeros(packed, bits, 2),
    "turned": _by_columns,
    "unsigned": lambda packed, bits, version=1: (
        refq.unpack_gptq_zeros(packed, bits, version) + np.int32(2 ** (bits - 1))
    ),
}
