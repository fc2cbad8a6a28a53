"""Laws of top_k_log_probs."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_log_softmax
from tests.laws.losses import SHAPES, TEMPERATURES
from tests.laws.operations import EDGES, normal, tenths, wide
from tests.support import both


@st.composite
def arguments(draw):
    V = draw(st.integers(1, 7))
    return {
        "teacher_logits": draw(tenths((*draw(st.sampled_from(SHAPES)), V), draw(st.sampled_from([3, 60])))),
        "k": draw(st.integers(1, V)),
        "temperature": draw(st.sampled_from(TEMPERATURES)),
    }


def edges():
    for i, (rows, columns) in enumerate((*EDGES, (3, 131072))):
        logits = np.rint(normal(1, rows, columns) * 40) / np.float32(10)  # ties
        yield {"teacher_logits": logits, "k": max(1, columns // (1, 3, 20)[i % 3]), "temperature": (1.0, 2.0)[i % 2]}


def bound(arguments, expected):
    x = arguments["teacher_logits"].astype(np.float64) / arguments.get("temperature", 1.0)
    return [test_log_softmax.bound({}, refq.log_softmax(x)).max(axis=-1, initial=0, keepdims=True) * 2, np.zeros(1)]


@both
@given(arguments())
def test_largest_first_of_ties_the_lower(engine, arguments):
    logits, k, _ = arguments.values()
    _, indices = engine.top_k_log_probs(**arguments)
    for row, chosen in zip(logits.reshape(-1, logits.shape[-1]), indices.reshape(-1, k), strict=True):
        assert chosen.tolist() == sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]


@both
@given(arguments())
def test_log_probabilities_of_all_classes(engine, arguments):
    logits, k, temperature = wide(arguments).values()
    log_probs, indices = engine.top_k_log_probs(logits, k, temperature)
    expected = np.take_along_axis(refq.log_softmax(logits / temperature), indices, axis=-1)
    np.testing.assert_allclose(log_probs, expected, atol=1e-12)


@both
@given(arguments())
def test_a_larger_k_continues_a_smaller_one(engine, arguments):
    logits, k, temperature = arguments.values()
    for few, all_of_them in zip(
        engine.top_k_log_probs(**arguments), engine.top_k_log_probs(logits, logits.shape[-1], temperature), strict=True
    ):
        np.testing.assert_array_equal(few, all_of_them[..., :k])


@both
@given(arguments())
def test_dtypes_and_shapes(engine, arguments):
    logits, k, _ = arguments.values()
    log_probs, indices = engine.top_k_log_probs(**arguments)
    assert log_probs.shape == indices.shape == (*logits.shape[:-1], k)
    assert (log_probs.dtype, indices.dtype) == (np.float32, np.int32)
    assert engine.top_k_log_probs(**wide(arguments))[0].dtype == np.float64


def _wrong(order=lambda x: np.argsort(-x, axis=-1, kind="stable"), log_probs=None, ordered_by=lambda x, temperature: x):
    def wrong(teacher_logits, k, temperature=1.0):
        refq.top_k_log_probs(teacher_logits, k, temperature)
        x = teacher_logits / np.float32(temperature)
        indices = order(ordered_by(teacher_logits, np.float32(temperature)))[..., :k].astype(np.int32)
        if log_probs is None:
            return np.take_along_axis(refq.log_softmax(x), indices, axis=-1), indices
        return log_probs(np.take_along_axis(x, indices, axis=-1)), indices

    return wrong


WRONG = {
    "log-probabilities of the k alone": _wrong(log_probs=lambda x: refq.log_softmax(x)),
    "probabilities": lambda **arguments: (
        np.exp(refq.top_k_log_probs(**arguments)[0]),
        refq.top_k_log_probs(**arguments)[1],
    ),
    "logits": _wrong(log_probs=lambda x: x),
    "smallest first": _wrong(order=lambda x: np.argsort(x, axis=-1, kind="stable")),
    "of ties the higher": _wrong(order=lambda x: x.shape[-1] - 1 - np.argsort(-x[..., ::-1], axis=-1, kind="stable")),
    "in the order of the classes": lambda teacher_logits, k, temperature=1.0: (
        np.take_along_axis(
            refq.log_softmax(teacher_logits / np.float32(temperature)),
            np.sort(refq.top_k_log_probs(teacher_logits, k, temperature)[1], axis=-1),
            axis=-1,
        ),
        np.sort(refq.top_k_log_probs(teacher_logits, k, temperature)[1], axis=-1),
    ),
    "ordered by rounded probabilities": _wrong(ordered_by=lambda x, temperature: refq.softmax(x / temperature)),
    "temperature forgotten": lambda teacher_logits, k, temperature=1.0: refq.top_k_log_probs(teacher_logits, k),
}
