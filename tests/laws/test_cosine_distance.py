"""Laws of cosine_distance."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.losses import states
from tests.laws.operations import assert_float64_is_kept
from tests.laws.test_log_softmax import quiet
from tests.support import both

arguments = states


@both
@given(arguments())
def test_from_0_to_2_one_a_position(engine, arguments):
    loss = engine.cosine_distance(**arguments)
    assert np.shape(loss) == arguments["student"].shape[:-1]
    assert ((loss >= -1e-6) & (loss <= 2 + 1e-6)).all()


@both
@given(arguments(), st.sampled_from([2.0, 0.25, 1024.0, 2.0**-40]))
def test_lengths_do_not_matter(engine, arguments, factor):
    student, teacher = arguments.values()
    loss = engine.cosine_distance(student, teacher)
    np.testing.assert_array_equal(engine.cosine_distance(student * np.float32(factor), teacher), loss)
    np.testing.assert_array_equal(engine.cosine_distance(student, teacher * np.float32(factor)), loss)


@both
@given(arguments())
def test_turned_round(engine, arguments):
    student, teacher = arguments.values()
    loss = engine.cosine_distance(student, teacher)
    np.testing.assert_allclose(engine.cosine_distance(-student, teacher), 2 - loss, atol=1e-6)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.cosine_distance, arguments)


def _over(length):
    def wrong(student, teacher):
        refq.cosine_distance(student, teacher)
        lengths = (np.sqrt(np.square(x).sum(axis=-1)) for x in (student, teacher))
        return (1 - (student * teacher).sum(axis=-1) / length(*lengths)).astype(np.float32)

    return quiet(wrong)


WRONG = {
    "cosine": lambda **arguments: 1 - refq.cosine_distance(**arguments),
    "not normalised": _over(lambda s, t: np.float32(1)),
    "student normalised alone": _over(lambda s, t: s),
    "0 / 0": _over(lambda s, t: s * t),
    "lengths at least 1e-8": _over(lambda s, t: np.maximum(s, np.float32(1e-8)) * np.maximum(t, np.float32(1e-8))),
    "and a little": _over(lambda s, t: s * t + np.float32(1e-6)),
    "angle": lambda **arguments: np.arccos(np.clip(1 - refq.cosine_distance(**arguments), -1, 1)),
    "halved": lambda **arguments: refq.cosine_distance(**arguments) / 2,
}
