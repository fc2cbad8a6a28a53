"""Laws of rope_frequencies."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@st.composite
def arguments(draw):
    return {
        "head_dim": 2 * draw(st.integers(1, 64)),
        "theta": draw(st.sampled_from([1.5, 100.0, 10000.0, 500000.0])),
        "scaling": draw(st.none() | st.just(LLAMA3)),
    }


@both
@given(arguments())
def test_decreasing_float64(engine, arguments):
    f = engine.rope_frequencies(**arguments)
    assert f.dtype == np.float64
    assert f.shape == (arguments["head_dim"] // 2,)
    assert (f > 0).all()
    assert (np.diff(f) < 0).all()


@both
@given(arguments())
def test_scaled_ones_lie_between(engine, arguments):
    plain = engine.rope_frequencies(arguments["head_dim"], arguments["theta"])
    scaled = engine.rope_frequencies(arguments["head_dim"], arguments["theta"], LLAMA3)
    assert (scaled <= plain * (1 + 1e-15)).all()
    assert (scaled >= plain / LLAMA3["factor"] * (1 - 1e-15)).all()


@both
@given(arguments())
def test_a_factor_of_one_changes_nothing(engine, arguments):
    plain = engine.rope_frequencies(arguments["head_dim"], arguments["theta"])
    scaled = engine.rope_frequencies(arguments["head_dim"], arguments["theta"], LLAMA3 | {"factor": 1.0})
    np.testing.assert_allclose(scaled, plain, rtol=1e-15)


def _wrong(exponent=lambda i, d: 2 * i / d, blend=True, cycle=2 * np.pi, stretch=np.divide, scale=True):
    def rope_frequencies(head_dim, theta, scaling):
        refq.rope_frequencies(head_dim, theta, scaling)
        f = theta ** -exponent(np.arange(head_dim // 2), head_dim)
        if scaling is None or not scale:
            return f
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        s = (scaling["original_max_position_embeddings"] * f / cycle - low) / (high - low)
        s = np.clip(s, 0, 1) if blend else (s > 0.5).astype(float)
        return s * f + (1 - s) * stretch(f, scaling["factor"])

    return rope_frequencies


def _every_pair_stretched(head_dim, theta, scaling):
    f = refq.rope_frequencies(head_dim, theta, scaling and scaling | {"factor": 1.0})
    return f if scaling is None else f / scaling["factor"]


WRONG = {
    "exponent i / d": _wrong(exponent=lambda i, d: i / d),
    "exponent over d - 2": _wrong(exponent=lambda i, d: 2 * i / max(d - 2, 1)),
    "exponent from 1": _wrong(exponent=lambda i, d: 2 * (i + 1) / d),
    "in float32": lambda **a: refq.rope_frequencies(**a).astype(np.float32).astype(np.float64),
    "scaling ignored": _wrong(scale=False),
    "every pair stretched": _every_pair_stretched,
    "multiplied by factor": _wrong(stretch=np.multiply),
    "no blend": _wrong(blend=False),
    "wavelength without 2 pi": _wrong(cycle=1.0),
    "unknown rope_type ignored": lambda head_dim, theta, scaling: refq.rope_frequencies(
        head_dim, theta, scaling if scaling and scaling["rope_type"] == "llama3" else None
    ),
}
