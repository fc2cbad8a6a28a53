"""Laws of encode_q6_k."""

import numpy as np
from hypothesis import given

from refq.ranges import q6_k
from tests.laws.block_laws import check_encoded_alone, check_times_16, check_zeros
from tests.laws.blocks import error, float64_sum, mutant, neighbours, rebuilt, step, swapped, value_edges, values
from tests.support import both


def arguments():
    return values("q6_k")


def edges():
    return value_edges("q6_k")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_encoded_alone(engine, "q6_k", **arguments)


@both
@given(arguments())
def test_the_error_is_of_the_size_of_a_step(engine, arguments):
    packed = engine.encode_q6_k(**arguments)
    allowed = 1.2 * step("q6_k", packed) + 2.0**-12
    assert (error("q6_k", arguments["x"], packed) <= allowed).all()


@both
@given(arguments())
def test_zeros_are_zero_bytes(engine, arguments):
    check_zeros(engine, "q6_k", **arguments)


@both
@given(arguments())
def test_powers_of_two(engine, arguments):
    check_times_16(engine, "q6_k", **arguments)


WRONG = {
    "no search": mutant(q6_k, TRIALS=q6_k.TRIALS[:1]),
    "half of the search": mutant(q6_k, TRIALS=q6_k.TRIALS[:10]),
    "sums in float64": mutant(q6_k, sequential_sum=float64_sum),
    "ties up": mutant(q6_k, _codes=lambda t: np.clip(np.floor(t + np.float32(0.5)), -32, 31)),
    "without the lowest code": mutant(q6_k, _codes=lambda t: np.clip(np.rint(t), -31, 31)),
    "nothing is too small": mutant(q6_k, SMALLEST=np.float32(0)),
    "unit first": rebuilt("q6_k", lambda b: np.roll(b, 2, axis=-1)),
    "codes one too high": rebuilt("q6_k", lambda b: np.hstack([b[:, :128] + 17, b[:, 128:]])),
    "first code in the high nibble": rebuilt("q6_k", lambda b: np.hstack([swapped(b[:, :128], 0), b[:, 128:]])),
    "codes 2 j and 2 j + 1 in a byte": rebuilt("q6_k", lambda b: np.hstack([neighbours(b[:, :128], 0), b[:, 128:]])),
    "scales negated": rebuilt("q6_k", lambda b: np.hstack([b[:, :192], -b[:, 192:208], b[:, 208:]])),
    "high bits lost": rebuilt("q6_k", lambda b: np.hstack([b[:, :128], b[:, 128:192] & 0x55, b[:, 192:]])),
}
