"""Laws of encode_q4_0."""

import numpy as np
from hypothesis import given

from tests.laws.block_laws import check_encoded_again, check_encoded_alone, check_times_4
from tests.laws.blocks import error, step, value_edges, values
from tests.laws.largest_value import mistakes
from tests.support import both


def arguments():
    return values("q4_0")


def edges():
    return value_edges("q4_0")


@both
@given(arguments())
def test_a_block_stands_alone(engine, arguments):
    check_encoded_alone(engine, "q4_0", **arguments)


@both
@given(arguments())
def test_the_error_is_of_the_size_of_a_step(engine, arguments):
    packed = engine.encode_q4_0(**arguments)
    allowed = 1.01 * step("q4_0", packed) + 1e-6 * np.abs(arguments["x"]).max() + 2.0**-24 * 8
    assert (error("q4_0", arguments["x"], packed) <= allowed).all()


@both
@given(arguments())
def test_what_was_decoded_is_encoded_alike(engine, arguments):
    check_encoded_again(engine, "q4_0", **arguments)


@both
@given(arguments())
def test_powers_of_two(engine, arguments):
    check_times_4(engine, "q4_0", **arguments)


WRONG = mistakes("q4_0")
