"""Laws of encode_q4_k."""

import numpy as np
from hypothesis import given

from refq.ranges import q4_k
from tests.laws.block_laws import check_encoded_alone, check_times_16, check_zeros
from tests.laws.blocks import error, float64_sum, mutant, neighbours, rebuilt, step, swapped, value_edges, values
from tests.support import both


def arguments():
    return values("q4_k")


def edges():
    return value_edges("q4_k")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_encoded_alone(engine, "q4_k", **arguments)


@both
@given(arguments())
def test_the_error_is_of_the_size_of_a_step(engine, arguments):
    packed = engine.encode_q4_k(**arguments)
    allowed = 1.5 * step("q4_k", packed) + 0.02 * np.abs(arguments["x"]).max() + 2.0**-12
    assert (error("q4_k", arguments["x"], packed) <= allowed).all()


@both
@given(arguments())
def test_zeros_are_zero_bytes(engine, arguments):
    check_zeros(engine, "q4_k", **arguments)


@both
@given(arguments())
def test_powers_of_two(engine, arguments):
    check_times_16(engine, "q4_k", **arguments)


_right_error, _right_line = q4_k._error, q4_k._least_squares


def _any_minimum(x, weight, u, sum_w, sum_x):
    sum_u, sum_uu, sum_xu = (q4_k.sequential_sum(terms) for terms in (weight * u, weight * u * u, weight * u * x))
    determinant, *_ = _right_line(x, weight, u, sum_w, sum_x)
    scale = (sum_w * sum_xu - sum_x * sum_u) / determinant
    return determinant, scale, (sum_uu * sum_x - sum_u * sum_xu) / determinant


def _truncated(name, value):
    largest = np.maximum(value.max(axis=-1, keepdims=True), 0)
    inverse = np.where(largest > 0, np.float32(63) / largest, np.float32(0))
    count = np.trunc(np.nan_to_num(inverse * value, posinf=0, neginf=0))
    return (largest / np.float32(63)).astype(np.float16), np.minimum(count, 63)


WRONG = {
    "no search": mutant(q4_k, TRIALS=[]),
    "candidates of another range": mutant(q4_k, TRIALS=q4_k.TRIALS - np.float32(0.5)),
    "sums in float64": mutant(q4_k, sequential_sum=float64_sum),
    "ties up": mutant(q4_k, _codes=lambda t: np.clip(np.nan_to_num(np.floor(t + np.float32(0.5))), 0, 15)),
    "a minimum above 0": mutant(q4_k, _least_squares=_any_minimum),
    "errors without weights": mutant(q4_k, _error=lambda x, w, *line: _right_error(x, np.float32(1), *line)),
    "6-bit counts truncated": mutant(q4_k, _six_bits=_truncated),
    "codes 2 j and 2 j + 1 in a byte": rebuilt("q4_k", lambda b: neighbours(b, 16)),
    "first code in the high nibble": rebuilt("q4_k", lambda b: swapped(b, 16)),
    "minima before scales": rebuilt("q4_k", lambda b: b[:, [*range(4), *range(8, 12), *range(4, 8), *range(12, 144)]]),
    "dmin before d": rebuilt("q4_k", lambda b: b[:, [2, 3, 0, 1, *range(4, 144)]]),
    "highest bits lost": rebuilt("q4_k", lambda b: np.hstack([b[:, :4], b[:, 4:12] & 63, b[:, 12:]])),
}
