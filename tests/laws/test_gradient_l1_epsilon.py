"""Laws of gradient_l1_epsilon."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.laws.operations import tenths
from tests.support import both, shapes


@st.composite
def arguments(draw):
    names = draw(st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
    weights = {name: draw(tenths(draw(shapes()))) for name in names}
    assume(any(w.any() for w in weights.values()))
    return {"weights": weights}


@both
@given(arguments())
def test_proportional_to_the_weights(engine, arguments):
    twice = {name: w * 2 for name, w in arguments["weights"].items()}
    assert engine.gradient_l1_epsilon(twice) == pytest.approx(2 * engine.gradient_l1_epsilon(**arguments), rel=1e-14)


@both
@given(arguments())
def test_neither_order_nor_shape_matter(engine, arguments):
    epsilon = engine.gradient_l1_epsilon(**arguments)
    turned = dict(reversed(arguments["weights"].items()))
    joined = {"all": np.concatenate([w.ravel() for w in turned.values()])}
    assert engine.gradient_l1_epsilon(turned) == epsilon
    assert engine.gradient_l1_epsilon(joined) == pytest.approx(epsilon, rel=1e-14)


@both
@given(arguments())
def test_float64_takes_a_hundredth(engine, arguments):
    wide = {name: w.astype(np.float64) for name, w in arguments["weights"].items()}
    assert engine.gradient_l1_epsilon(wide) == pytest.approx(engine.gradient_l1_epsilon(**arguments) / 100, rel=1e-14)


def _wrong(size):
    def gradient_l1_epsilon(weights):
        arrays = [np.float64(w) for w in weights.values()]
        return float(size(arrays) * (1e-3 if next(iter(weights.values())).dtype == np.float32 else 1e-5))

    return gradient_l1_epsilon


WRONG = {
    "always 1e-3": lambda weights: 1e-3,
    "the sum of squares": _wrong(lambda arrays: np.sqrt(sum((w * w).sum() for w in arrays))),
    "the mean of the sizes": _wrong(lambda arrays: sum(np.abs(w).sum() for w in arrays) / sum(w.size for w in arrays)),
    "the mean of the arrays": _wrong(lambda arrays: np.mean([np.sqrt((w * w).mean()) for w in arrays])),
    "the first array": _wrong(lambda arrays: np.sqrt((arrays[0] ** 2).mean())),
    "1e-3 for float64 too": lambda weights: float(
        1e-3 * np.sqrt(np.mean(np.concatenate([np.float64(w).ravel() for w in weights.values()]) ** 2))
    ),
}
