"""Laws of cross_entropy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_log_softmax
from tests.laws.operations import EDGES, assert_float64_is_kept, normal, tenths
from tests.laws.test_log_softmax import quiet
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    shape, V = draw(st.sampled_from([(), (1,), (3,), (2, 2), (0,)])), draw(st.integers(1, 5))
    return {"logits": draw(tenths((*shape, V), 100)), "targets": draw(int_arrays(shape, 0, V - 1))}


def edges():
    for rows, columns in EDGES:
        targets = np.random.default_rng(2).integers(0, columns, rows)
        yield {"logits": normal(1, rows, columns) * 5, "targets": targets}


def bound(arguments, expected):
    y = refq.log_softmax(arguments["logits"])
    return np.take_along_axis(test_log_softmax.bound({}, y), arguments["targets"][..., None], axis=-1)[..., 0]


@both
@given(arguments())
def test_at_least_zero_one_a_position(engine, arguments):
    loss = engine.cross_entropy(**arguments)
    assert np.shape(loss) == arguments["targets"].shape
    assert (loss >= 0).all()


@both
@given(arguments())
def test_equal_logits_cost_log_v(engine, arguments):
    V = arguments["logits"].shape[-1]
    loss = engine.cross_entropy(np.full_like(arguments["logits"], 3), arguments["targets"])
    np.testing.assert_allclose(loss, np.log(V), atol=1e-6)


@both
@given(arguments())
def test_probabilities_of_all_targets_sum_to_one(engine, arguments):
    logits, V = arguments["logits"], arguments["logits"].shape[-1]
    losses = [engine.cross_entropy(logits, np.full_like(arguments["targets"], v)) for v in range(V)]
    np.testing.assert_allclose(np.exp(-np.float64(losses)).sum(axis=0), 1, atol=2e-5)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.cross_entropy, arguments)


def _indexed(logits, targets):
    """No check: a negative target counts from the end."""
    return -np.take_along_axis(refq.log_softmax(logits), targets[..., None], axis=-1)[..., 0]


def _ignored(logits, targets):
    return np.where(targets == -100, 0, refq.cross_entropy(logits, np.where(targets == -100, 0, targets)))


WRONG = {
    "mean": lambda logits, targets: refq.cross_entropy(logits, targets).mean(),
    "sum over the last axis": lambda logits, targets: refq.cross_entropy(logits, targets).sum(axis=-1),
    "bits": lambda logits, targets: refq.cross_entropy(logits, targets) / np.float32(np.log(2)),
    "log-probability": lambda logits, targets: -refq.cross_entropy(logits, targets),
    "logarithm of softmax": quiet(
        lambda logits, targets: (
            -np.log(np.take_along_axis(refq.softmax(logits), np.maximum(targets, 0)[..., None], axis=-1)[..., 0])
        )
    ),
    "targets from 1": lambda logits, targets: _indexed(logits, targets - 1),
    "negative targets count from the end": _indexed,
    "-100 is ignored": _ignored,
}
