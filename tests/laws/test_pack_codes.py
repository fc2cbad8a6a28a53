"""Laws of pack_codes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both, int_arrays


@st.composite
def arguments(draw, smallest=1):
    bits = draw(st.integers(smallest, 8))
    shape = draw(st.sampled_from([(0,), (1,), (5,), (3, 8), (2, 3, 11), (2, 33), (0, 4)]))
    return {"q": draw(int_arrays(shape, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)), "bits": bits}


def edges(smallest=1):
    random = np.random.default_rng(0)
    for bits in range(smallest, 9):
        for shape in ((3, 31), (65, 33), (2, 8193), (1, 70001)):
            yield {"q": random.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), shape).astype(np.int32), "bits": bits}


@both
@given(arguments())
def test_unpack_undoes_it(engine, arguments):
    packed = engine.pack_codes(**arguments)
    q, bits = arguments["q"], arguments["bits"]
    assert packed.dtype == np.uint8
    assert packed.shape == (*q.shape[:-1], -(-q.shape[-1] * bits // 8))
    np.testing.assert_array_equal(engine.unpack_codes(packed, bits, q.shape[-1]), q)


@both
@given(arguments())
def test_rows_do_not_meet(engine, arguments):
    q, bits = arguments["q"], arguments["bits"]
    packed = engine.pack_codes(**arguments)
    for index in np.ndindex(q.shape[:-1]):
        np.testing.assert_array_equal(engine.pack_codes(q[index], bits), packed[index])


@both
@given(arguments())
def test_eight_bits_are_the_bytes_of_int8(engine, arguments):
    packed = engine.pack_codes(arguments["q"], 8)
    np.testing.assert_array_equal(packed.view(np.int8), arguments["q"])


@both
@given(arguments())
def test_any_integer_type(engine, arguments):
    packed = engine.pack_codes(**arguments)
    for dtype in (np.int8, np.int16, np.int64):
        np.testing.assert_array_equal(engine.pack_codes(arguments["q"].astype(dtype), arguments["bits"]), packed)


def stream(q, bits, offset=0, word=8, highest_first=False, crossing=True, padding=0):
    """Bytes of a row-wise bit stream, in all the ways that go wrong."""
    rows = []
    for row in q.reshape(-1, q.shape[-1]) if q.size else np.zeros((int(np.prod(q.shape[:-1])), 0), int):
        u = [int(c + offset) % 2**bits for c in row]
        size = word * -(-len(u) * bits // word)
        if crossing:
            ones = [u_i >> (bits - 1 - j if highest_first else j) & 1 for u_i in u for j in range(bits)]
            ones += [padding] * (size - len(ones))
        else:
            each = word // bits
            parts = [u[i : i + each] for i in range(0, len(u), each)]
            ones = []
            for part in parts:
                one = [u_i >> j & 1 for u_i in part for j in range(bits)]
                ones += one + [padding] * (word - len(one))
        rows.append(np.packbits(np.array(ones, np.uint8), bitorder="big" if highest_first else "little"))
    size = len(rows[0]) if rows else 0
    return np.array(rows, np.uint8).reshape(*q.shape[:-1], size)


def _checked(function):
    def pack_codes(q, bits):
        refq.pack_codes(q, bits)  # for the errors
        return function(q, bits)

    return pack_codes


def _two_runs(q, bits):
    n = -q.shape[-1] // 2 * -1
    halves = np.zeros((*q.shape[:-1], 2 * n), q.dtype)
    halves[..., 0::2], halves[..., 1 : 2 * (q.shape[-1] - n) : 2] = q[..., :n], q[..., n:]
    return refq.pack_codes(halves[..., : 2 * n] if q.shape[-1] % 2 == 0 else q, bits)


def _high_nibble_first(q, bits):
    packed = refq.pack_codes(q, bits)
    return (packed >> 4 | packed << 4).astype(np.uint8) if bits == 4 else packed


def _joined(q, bits):
    return refq.pack_codes(q.reshape(-1), bits) if q.ndim > 1 else refq.pack_codes(q, bits)


WRONG = {
    "code + 2**(bits - 1)": _checked(lambda q, bits: stream(q, bits, 2 ** (bits - 1))),
    "highest bit first": _checked(lambda q, bits: stream(q, bits, highest_first=True)),
    "high nibble first": _high_nibble_first,
    "first half low, second half high": _checked(_two_runs),
    "no code crosses a byte": _checked(lambda q, bits: stream(q, bits, crossing=False)),
    "tail of ones": _checked(lambda q, bits: stream(q, bits, padding=1)),
    "rows joined": _joined,
    "codes wrapped": lambda q, bits: stream(q, bits),
    "whole words": _checked(lambda q, bits: stream(q, bits, word=32)),
}
