"""The encoder page as a whole: its gradient, and both engines on a model of three layers."""

import numpy as np
import pytest

import refq
import refq_fast
from refq import tape
from tests.laws.models import seeded_bert, wide
from tests.laws.operations import UNIT
from tests.support import both

TOKENS = np.array([[1, 5, 3, 3, 9, 0, 2], [4, 4, 10, 8, 0, 0, 0]])
MASK = np.arange(7) < np.array([[7], [4]])
TYPES = np.array([[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0, 0]])
MODELS = {
    "bert": {"layers": 3, "H": 4, "D": 16, "F": 24},
    "albert": {"layers": 3, "H": 4, "D": 16, "F": 24, "width": 6, "shared": True, "act": "gelu_tanh"},
}


def losses(params, config, ops):
    """The losses of a classifier on the pooled state, and the states."""
    hidden, pooled = refq.bert_forward(params, TOKENS, MASK, config, ops, TYPES)
    return ops.cross_entropy(ops.linear(pooled, params["classifier.weight"]), np.array([1, 2])), hidden


@both
@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_of_a_whole_model_is_right(engine, name):
    params, config = seeded_bert(4, **MODELS[name])
    random = np.random.default_rng(2)
    params = wide(params) | {"classifier.weight": random.standard_normal((3, 16))}
    g = random.standard_normal((2, 7, 16)) * MASK[..., None]
    leaves = {name: tape.Tensor(w) for name, w in params.items()}
    loss, hidden = losses(leaves, config, tape.lift(engine))
    found = tape.backward([(loss, np.ones(2)), (hidden, g)], list(leaves.values()))
    along = {name: random.standard_normal(w.shape) for name, w in params.items()}

    def at(h):
        loss, hidden = losses({name: w + h * along[name] for name, w in params.items()}, config, engine)
        return loss.sum() + (g * hidden).sum()

    h = 3e-6  # one layer used three times is far from linear
    numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    analytic = sum((part * along[name]).sum() for name, part in zip(params, found, strict=True))
    assert abs(analytic - numeric) <= 1e-8 * abs(numeric)


@pytest.mark.parametrize("name", MODELS)
def test_engines_are_near_float64(name):
    params, config = seeded_bert(5, **MODELS[name] | {"D": 64, "F": 172, "positions": 96})
    tokens, mask = (
        np.random.default_rng(6).integers(0, 11, (5, 96)),
        np.arange(96) < np.array([[96], [50], [1], [0], [17]]),
    )
    exact = refq.bert_forward(wide(params), tokens, mask, config)
    for engine in (refq, refq_fast):
        for one, other in zip(engine.bert_forward(params, tokens, mask, config), exact, strict=True):
            assert np.abs(one - other).max() <= 1000 * UNIT * np.abs(other).max()
