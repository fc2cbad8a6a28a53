"""Laws of smooth_scale."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels
from tests.laws.operations import assert_float64_is_kept
from tests.support import both


@st.composite
def arguments(draw):
    x = draw(channels.maxima())
    w = np.resize(draw(channels.maxima()), x.shape) / np.float32(8)
    return {"x_absmax": x, "w_absmax": w, "alpha": draw(st.sampled_from([0.0, 0.25, 0.5, 0.85, 1.0]))}


def _above_limits(arguments):
    """The same without sizes near 0."""
    return {name: v if name == "alpha" else v + np.float32(0.5) for name, v in arguments.items()}


@both
@given(arguments())
def test_a_half_makes_both_equal(engine, arguments):
    x, w, _ = _above_limits(arguments).values()
    scale = engine.smooth_scale(x, w)
    np.testing.assert_allclose(x / scale, np.sqrt(x * w), rtol=1e-6)
    np.testing.assert_allclose(w * scale, np.sqrt(x * w), rtol=1e-6)


@both
@given(arguments())
def test_the_ends_flatten_one_side(engine, arguments):
    x, w, _ = _above_limits(arguments).values()
    np.testing.assert_array_equal(x / engine.smooth_scale(x, w, 1.0), np.ones_like(x))
    np.testing.assert_allclose(w * engine.smooth_scale(x, w, 0.0), 1, rtol=1e-6)


@both
@given(arguments())
def test_never_below_its_limit(engine, arguments):
    scale = engine.smooth_scale(**arguments)
    assert scale.dtype == np.float32
    assert (scale >= np.float32(1e-5)).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.smooth_scale, _above_limits(arguments))


def _wrong(scale):
    def smooth_scale(x_absmax, w_absmax, alpha=0.5):
        refq.smooth_scale(x_absmax, w_absmax, alpha)
        with np.errstate(all="ignore"):
            x, w = x_absmax.astype(np.float64), w_absmax.astype(np.float64)
            return scale(x, w, alpha).astype(np.float32)

    return smooth_scale


def _w(w):
    return np.maximum(w, 1e-5)


WRONG = {
    "the inverse": _wrong(lambda x, w, a: np.maximum(_w(w) ** (1 - a) / np.maximum(x, 1e-5) ** a, 1e-5)),
    "alpha on the weights": _wrong(lambda x, w, a: np.maximum(x ** (1 - a) / _w(w) ** a, 1e-5)),
    "one power for both": _wrong(lambda x, w, a: np.maximum((x / _w(w)) ** a, 1e-5)),
    "no limit": _wrong(lambda x, w, a: x**a / _w(w) ** (1 - a)),
    "no limit of weights": _wrong(lambda x, w, a: np.maximum(x**a / w ** (1 - a), 1e-5)),
    "activations limited, not the scale": _wrong(lambda x, w, a: np.maximum(x, 1e-5) ** a / _w(w) ** (1 - a)),
    "always a half": _wrong(lambda x, w, a: np.maximum(np.sqrt(x / _w(w)), 1e-5)),
}
