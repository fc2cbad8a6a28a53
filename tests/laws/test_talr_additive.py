"""Laws of talr_additive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.controllers import RATES, assert_toward_the_target, controller_arguments
from tests.support import both


@st.composite
def arguments(draw):
    return draw(controller_arguments()) | {"eta": draw(RATES)}


@both
@given(arguments())
def test_toward_the_target(engine, arguments):
    assert_toward_the_target(engine.talr_additive, arguments)


@both
@given(arguments())
def test_eta_0_is_a_plain_learning_rate(engine, arguments):
    assert engine.talr_additive(**(arguments | {"eta": 0.0})) == arguments["learning_rate"]


@both
@given(arguments())
def test_without_transitions_it_grows_along_a_line(engine, arguments):
    arguments |= {"running": 0.0}
    rates = [arguments["learning_rate"]]
    for _ in range(3):
        rates.append(engine.talr_additive(**(arguments | {"learning_rate": rates[-1]})))
    step = arguments["eta"] * arguments["target"]
    assert rates == pytest.approx([rates[0] + n * step for n in range(4)], rel=1e-12)


def _wrong(rule):
    return lambda learning_rate, target, running, eta: float(rule(learning_rate, target, running, eta))


WRONG = {
    "negative": _wrong(lambda u, r, k, eta: u + eta * (r - k)),
    "the other way": _wrong(lambda u, r, k, eta: max(0, u - eta * (r - k))),
    "eta forgotten": _wrong(lambda u, r, k, eta: max(0, u + r - k)),
    "the size of the error": _wrong(lambda u, r, k, eta: u + eta * abs(r - k)),
    "the error alone": _wrong(lambda u, r, k, eta: max(0, eta * (r - k))),
    "clamped before": _wrong(lambda u, r, k, eta: u + max(0, eta * (r - k))),
    "relative": _wrong(lambda u, r, k, eta: max(0, u * (1 + eta * (r - k)))),
}
