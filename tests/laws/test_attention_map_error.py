"""Laws of attention_map_error."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.losses import maps
from tests.laws.operations import assert_float64_is_kept
from tests.laws.test_log_softmax import quiet
from tests.support import both

arguments = maps


@both
@given(arguments())
def test_finite_one_a_query(engine, arguments):
    loss = engine.attention_map_error(**arguments)
    assert np.shape(loss) == arguments["student_scores"].shape[:-1]
    assert np.isfinite(loss).all()


@both
@given(arguments())
def test_any_mask_will_do(engine, arguments):
    other = {name: np.where(scores <= -100, np.float32(-1e4), scores) for name, scores in arguments.items()}
    np.testing.assert_array_equal(engine.attention_map_error(**other), engine.attention_map_error(**arguments))


@both
@given(arguments())
def test_the_squared_error_of_what_is_not_hidden(engine, arguments):
    student, teacher = (np.where(scores <= -100, np.float32(0), scores) for scores in arguments.values())
    np.testing.assert_array_equal(engine.attention_map_error(**arguments), refq.squared_error(student, teacher))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.attention_map_error, arguments)


def _wrong(hide=lambda s, t: (s <= -100, t <= -100), mean=lambda squares, hidden: squares.mean(axis=-1)):
    def wrong(student_scores, teacher_scores):
        refq.attention_map_error(student_scores, teacher_scores)
        hidden = hide(student_scores, teacher_scores)
        pair = zip((student_scores, teacher_scores), hidden, strict=True)
        student, teacher = (np.where(h, np.float32(0), scores) for scores, h in pair)
        return mean(np.square(student - teacher), hidden).astype(np.float32)

    return quiet(wrong)


WRONG = {
    "nothing hidden": _wrong(hide=lambda s, t: (s != s, t != t)),
    "infinities alone hidden": _wrong(hide=lambda s, t: (np.isinf(s), np.isinf(t))),
    "below -100": _wrong(hide=lambda s, t: (s < -100, t < -100)),
    "below -50": _wrong(hide=lambda s, t: (s < -50, t < -50)),
    "hidden in one, hidden in both": _wrong(hide=lambda s, t: ((s <= -100) | (t <= -100),) * 2),
    "mean over what is seen": _wrong(
        mean=lambda squares, hidden: squares.sum(axis=-1) / np.maximum((~hidden[0]).sum(axis=-1), 1)
    ),
    "sum": _wrong(mean=lambda squares, hidden: squares.sum(axis=-1)),
    "of probabilities": _wrong(
        hide=lambda s, t: (s != s, t != t), mean=lambda squares, hidden: refq.softmax(squares).mean(axis=-1)
    ),
}
