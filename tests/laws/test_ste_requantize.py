"""Laws of ste_requantize."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import fitted
from tests.laws.operations import normal
from tests.support import both


@st.composite
def arguments(draw):
    groups = draw(fitted.groups())
    k = draw(st.sampled_from([1, 2, 4, 16]))
    entries = st.lists(st.integers(0, groups.size - 1), min_size=k, max_size=k)
    codebook = np.stack([groups.reshape(-1)[draw(entries)] for _ in groups])
    return {"groups": groups, "codebook": codebook}


def edges():
    for shape, k in (((1, 70001), 16), ((130, 33), 4), ((3, 5, 257), 256)):
        yield {"groups": normal(k, *shape), "codebook": normal(1, *shape[:-1], k)}


@both
@given(arguments())
def test_it_is_a_step_and_a_lookup(engine, arguments):
    x_hat, codebook, index = engine.ste_requantize(**arguments)
    expected, members = refq.lloyd_step(**arguments)
    np.testing.assert_array_equal(codebook, expected)
    np.testing.assert_array_equal(index, members)
    np.testing.assert_array_equal(x_hat, np.take_along_axis(codebook, index.astype(np.int64), axis=-1))


@both
@given(arguments())
def test_no_farther_than_the_codebook_before(engine, arguments):
    groups = arguments["groups"] / np.float32(max(1, np.abs(arguments["groups"]).max()))
    codebook = arguments["codebook"] / np.float32(max(1, np.abs(arguments["groups"]).max()))
    _, found, index = engine.ste_requantize(groups, codebook)
    before = fitted.squared_error(groups, codebook, index)
    assert (fitted.squared_error(groups, found, index) <= before * (1 + 1e-6) + 1e-12).all()


@both
@given(arguments())
def test_again_it_settles(engine, arguments):
    groups, codebook = arguments["groups"], arguments["codebook"]
    for _ in range(200):
        x_hat, found, index = engine.ste_requantize(groups, codebook)
        if np.array_equal(found, codebook):
            break
        codebook = found
    again, _, same = engine.ste_requantize(groups, found)
    np.testing.assert_array_equal(again, x_hat)
    np.testing.assert_array_equal(same, index)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    found = engine.ste_requantize(**{name: value.astype(np.float64) for name, value in arguments.items()})
    assert [part.dtype for part in found] == [np.float64, np.float64, np.uint8]


def _wrong(function):
    def ste_requantize(groups, codebook):
        refq.ste_requantize(groups, codebook)  # for the errors
        return function(groups, codebook)

    return ste_requantize


def _looked_up(codebook, index):
    return refq.codebook_lookup(index, codebook), codebook, index


def _codebook_before(groups, codebook):
    found, index = refq.lloyd_step(groups, codebook)
    return refq.codebook_lookup(index, codebook), found, index


def _one_more_assignment(groups, codebook):
    return _looked_up(*refq.lloyd(groups, codebook, 1))


def _two_steps(groups, codebook):
    return _looked_up(*refq.lloyd_step(groups, refq.lloyd_step(groups, codebook)[0]))


def _codebook_kept(groups, codebook):
    _, index = refq.lloyd_step(groups, codebook)
    return _looked_up(codebook, index)


def _latent(groups, codebook):
    found, index = refq.lloyd_step(groups, codebook)
    return groups, found, index


WRONG = {
    "entries of the codebook before": _wrong(_codebook_before),
    "assigned once more": _wrong(_one_more_assignment),
    "two steps": _wrong(_two_steps),
    "the codebook stays": _wrong(_codebook_kept),
    "the weights themselves": _wrong(_latent),
}
