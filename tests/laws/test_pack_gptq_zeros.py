"""Laws of pack_gptq_zeros."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.grids.arguments_words import GPTQ_BITS
from tests.laws import words
from tests.laws.words import words_of
from tests.support import both


@st.composite
def arguments(draw):
    found = draw(words.codes(GPTQ_BITS, axis=0))
    return {"zero_point": found["q"], "bits": found["bits"], "version": draw(st.sampled_from([1, 2]))}


def edges():
    for version in (1, 2):
        for found in words.large((3, 4), axis=0):
            yield {"zero_point": found["q"], "bits": found["bits"], "version": version}


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    packed = engine.pack_gptq_zeros(**arguments)
    zero_point, bits, version = arguments.values()
    assert packed.shape == (zero_point.shape[1], zero_point.shape[0] * bits // 32)
    np.testing.assert_array_equal(engine.unpack_gptq_zeros(packed, bits, version), zero_point)


@both
@given(arguments())
def test_version_1_is_version_2_of_one_less(engine, arguments):
    zero_point, bits, _ = arguments.values()
    above = np.maximum(zero_point, -(2 ** (bits - 1)) + 1)
    second = engine.pack_gptq_zeros(above - 1, bits, 2)
    np.testing.assert_array_equal(engine.pack_gptq_zeros(above, bits, 1), second)


@both
@given(arguments())
def test_version_2_are_the_words_of_compressed_tensors(engine, arguments):
    zero_point, bits, _ = arguments.values()
    expected = engine.pack_compressed_tensors(np.ascontiguousarray(zero_point.T), bits)
    np.testing.assert_array_equal(engine.pack_gptq_zeros(zero_point, bits, 2), expected)


@both
@given(arguments(), st.data())
def test_a_zero_point_changes_nothing_of_its_neighbours(engine, arguments, data):
    zero_point, bits, version = arguments.values()
    place = data.draw(st.integers(0, len(zero_point) - 1))
    changed = zero_point.copy()
    changed[place] = -(2 ** (bits - 1))
    found = engine.unpack_gptq_zeros(engine.pack_gptq_zeros(changed, bits, version), bits, version)
    np.testing.assert_array_equal(np.delete(found, place, 0), np.delete(zero_point, place, 0))


def _wrong(carry=False, always=None, turned=True, offset=True, **how):
    def pack_gptq_zeros(zero_point, bits, version=1):
        refq.pack_gptq_zeros(zero_point, bits, version)  # for the errors
        version = always or version
        u = (zero_point + (2 ** (bits - 1) if offset else 0)).T
        if carry and version == 1:
            ones = words_of(np.ones_like(u), bits).view(np.uint32)
            return (words_of(u, bits).view(np.uint32) - ones).view(np.int32)
        packed = words_of(u - (version == 1), bits, **how)
        return packed if turned else np.ascontiguousarray(packed.T)

    return pack_gptq_zeros


def _clipped(zero_point, bits, version=1):
    return refq.pack_gptq_zeros(
        np.maximum(zero_point, 1 - 2 ** (bits - 1)) if version == 1 else zero_point, bits, version
    )


WRONG = {
    "1 taken from the whole word": _wrong(carry=True),
    "always version 1": _wrong(always=1),
    "always version 2": _wrong(always=2),
    "turned": _wrong(turned=False),
    "two's complement": _wrong(offset=False),
    "highest first": _wrong(highest_first=True),
    "words that 3 bits do not cross": _wrong(crossing=False),
    "the lowest one raised": _clipped,
}
