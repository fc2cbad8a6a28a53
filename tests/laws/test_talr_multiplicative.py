"""Laws of talr_multiplicative."""

import pytest
from hypothesis import given

from tests.laws.controllers import assert_toward_the_target, controller_arguments
from tests.support import both

arguments = controller_arguments


@both
@given(arguments())
def test_toward_the_target(engine, arguments):
    if arguments["running"]:
        assert_toward_the_target(engine.talr_multiplicative, arguments)


@both
@given(arguments())
def test_nothing_counted_nothing_changed(engine, arguments):
    assert engine.talr_multiplicative(**(arguments | {"running": 0.0})) == arguments["learning_rate"]


@both
@given(arguments())
def test_in_proportion(engine, arguments):
    after = engine.talr_multiplicative(**arguments)
    if arguments["running"]:
        assert after * arguments["running"] == pytest.approx(arguments["learning_rate"] * arguments["target"])


def _wrong(rule):
    return lambda learning_rate, target, running: float(rule(learning_rate, target, running or target or 1.0))


WRONG = {
    "the other way": _wrong(lambda u, r, k: u * k / (r or 1)),
    "the difference": _wrong(lambda u, r, k: u * (1 + r - k)),
    "the rate forgotten": _wrong(lambda u, r, k: r / k),
    "an eps below": lambda learning_rate, target, running: learning_rate * target / (running + 1e-8),
    "0 where nothing was counted": lambda learning_rate, target, running: (
        learning_rate * target / running if running else 0.0
    ),
    "at most twice": lambda learning_rate, target, running: (
        learning_rate * min(2.0, target / running) if running else learning_rate
    ),
}
