"""Laws of linear_schedule."""

import pytest
from hypothesis import given

import refq
from tests.laws.schedules import decays, run, schedule_arguments
from tests.support import both

arguments = schedule_arguments


@both
@given(arguments())
def test_the_ends(engine, arguments):
    run_, warmup = run(engine.linear_schedule, arguments), arguments["warmup"]
    assert run_[warmup] == 1
    assert warmup == 0 or run_[0] == 0
    assert warmup == arguments["steps"] or run_[-1] == 0


@both
@given(arguments())
def test_two_lines(engine, arguments):
    run_, steps, warmup = run(engine.linear_schedule, arguments), arguments["steps"], arguments["warmup"]
    slopes = [b - a for a, b in zip(run_, run_[1:], strict=False)]
    assert slopes[:warmup] == pytest.approx([1 / max(1, warmup)] * warmup, abs=1e-12)
    assert slopes[warmup:] == pytest.approx([-1 / max(1, steps - warmup)] * (steps - warmup), abs=1e-12)


@both
@given(arguments())
def test_it_meets_the_cosine_halfway(engine, arguments):
    steps, warmup = 2 * arguments["steps"] + arguments["warmup"], arguments["warmup"]
    middle = arguments["steps"] + warmup
    assert engine.linear_schedule(middle, steps, warmup) == 0.5
    assert engine.cosine_schedule(middle, steps, warmup) == pytest.approx(0.5, abs=1e-15)


WRONG = decays(refq.linear_schedule) | {
    "a cosine": refq.cosine_schedule,
    "constant": lambda step, steps, warmup=0: step / warmup if step < warmup else 1.0,
}
