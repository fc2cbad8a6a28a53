"""Laws of hessian."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import solved
from tests.laws.operations import cost
from tests.support import both


def arguments():
    return st.builds(dict, x=solved.inputs())


def edges():
    for x in solved.large_inputs([(1, 1), (3, 31), (2000, 33), (40, 513), (150, 1100), (7, 129)]):
        yield {"x": x}
    yield {"x": next(solved.large_inputs([(60, 65)])).reshape(3, 20, 65)}


def bound(arguments, expected):
    x = np.abs(arguments["x"].reshape(-1, arguments["x"].shape[-1])).astype(np.float64)
    return cost(x.T @ x * 2 / len(x), len(x) + 4)


@both
@given(arguments())
def test_symmetric_without_negative_eigenvalues(engine, arguments):
    found = engine.hessian(**arguments)
    np.testing.assert_array_equal(found, found.T)
    assert np.linalg.eigvalsh(found.astype(np.float64)).min() >= -1e-5 * np.abs(found).max()


@both
@given(arguments(), st.data())
def test_is_the_error_of_the_outputs(engine, arguments, data):
    """delta H delta^T / 2 is the mean of (delta x)**2."""
    x = arguments["x"].astype(np.float64)
    delta = np.array([data.draw(st.integers(-3, 3)) for _ in range(x.shape[1])]) / 4
    np.testing.assert_allclose(
        delta @ engine.hessian(x) @ delta / 2, np.mean((x @ delta) ** 2), rtol=1e-12, atol=1e-12 * (x * x).max()
    )


@both
@given(arguments())
def test_batches_are_averaged_by_their_tokens(engine, arguments):
    x = arguments["x"].astype(np.float64)
    parts = [part for part in (x[:1], x[1:]) if len(part)]
    together = sum(len(part) * engine.hessian(part) for part in parts) / len(x)
    np.testing.assert_allclose(engine.hessian(x), together, rtol=1e-12, atol=1e-12 * (x * x).max())


@both
@given(arguments())
def test_powers_of_two_are_squared(engine, arguments):
    np.testing.assert_array_equal(engine.hessian(arguments["x"] * 8), engine.hessian(**arguments) * 64)


def _wrong(scale=lambda x: 2 / len(x), shift=lambda x: 0):
    def hessian(x):
        sequences = x
        x = x.reshape(-1, x.shape[-1])
        x = x - shift(x)
        return np.asarray(x.T @ x * scale(sequences if sequences.ndim > 2 else x), np.float32)

    return hessian


WRONG = {
    "the sum, not the mean": _wrong(lambda x: 2),
    "half of it": _wrong(lambda x: 1 / (x.size // x.shape[-1])),
    "divided by sequences": _wrong(lambda x: 2 / len(x)),
    "a covariance": lambda x: refq.hessian(x - x.reshape(-1, x.shape[-1]).mean(axis=0)),
    "tokens together, not inputs": lambda x: refq.hessian(x.reshape(-1, x.shape[-1]).T.copy()),
    "the correlation": lambda x: _correlation(refq.hessian(x)),
    "the upper triangle alone": lambda x: np.triu(refq.hessian(x)),
    "NaN taken for 0": lambda x: refq.hessian(np.nan_to_num(x)),
}


def _correlation(found):
    size = np.sqrt(np.maximum(found.diagonal(), 1e-30))
    return (found / size / size[:, None]).astype(np.float32)
