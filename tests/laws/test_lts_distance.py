"""Laws of lts_distance."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import assert_float64_is_kept, tenths
from tests.support import both, int_arrays, shapes


@st.composite
def arguments(draw):
    shape = draw(shapes())
    position = draw(tenths(shape, 90))
    q = np.clip(np.rint(position), -8, 7).astype(np.int32)
    flips = draw(int_arrays(shape, 0, 1))
    return {
        "distance": draw(st.none() | tenths(shape).map(np.abs)),
        "position": position,
        "q": q,
        "previous": q - flips,
        "momentum": draw(st.sampled_from([0.0, 0.5, 0.99])),
    }


@both
@given(arguments())
def test_a_flip_is_one_step(engine, arguments):
    distance = engine.lts_distance(**arguments)
    assert (distance[arguments["q"] != arguments["previous"]] == 1).all()


@both
@given(arguments())
def test_one_that_flips_every_step_stays_at_1(engine, arguments):
    arguments |= {"previous": arguments["q"] + 1}
    for _ in range(3):
        arguments["distance"] = engine.lts_distance(**arguments)
        assert (arguments["distance"] == 1).all()


@both
@given(arguments())
def test_one_that_rests_comes_to_its_own_distance(engine, arguments):
    arguments |= {"previous": arguments["q"], "momentum": 0.5}
    for _ in range(60):
        arguments["distance"] = engine.lts_distance(**arguments)
    expected = np.abs(arguments["position"] - arguments["q"].astype(np.float32))
    np.testing.assert_allclose(arguments["distance"], expected, rtol=1e-6, atol=1e-15)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.lts_distance, arguments)


def _wrong(d=lambda x, q: np.abs(x - q), average=lambda a, d, m: m * a + (1 - m) * d, flip=1):
    def lts_distance(distance, position, q, previous, momentum=0.99):
        now = d(position, q.astype(np.float32))
        now = now if distance is None else average(distance, now, momentum)
        return now if flip is None else np.where(q != previous, np.float32(flip), now).astype(np.float32)

    return lts_distance


WRONG = {
    "clipped position": _wrong(d=lambda x, q: np.minimum(np.abs(x - q), np.float32(0.5))),
    "signed": _wrong(d=lambda x, q: x - q),
    "squared": _wrong(d=lambda x, q: (x - q) ** 2),
    "flips forgotten": _wrong(flip=None),
    "a flip is half a step": _wrong(flip=0.5),
    "a flip is 0": _wrong(flip=0),
    "the distance alone": _wrong(average=lambda a, d, m: d),
    "the momentum of the new one": _wrong(average=lambda a, d, m: (1 - m) * a + m * d),
    "begun with 0": lambda distance, position, q, previous, momentum=0.99: refq.lts_distance(
        np.zeros_like(position) if distance is None else distance, position, q, previous, momentum
    ),
    "in widths of a 4-bit range": lambda distance, position, q, previous, momentum=0.99: (
        refq.lts_distance(distance, position, q, previous, momentum) / np.float32(15)
    ),
}
