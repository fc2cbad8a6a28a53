"""Laws of cosine_schedule."""

import math

import pytest
from hypothesis import given

import refq
from tests.laws.schedules import decays, run, schedule_arguments
from tests.support import both

arguments = schedule_arguments


@both
@given(arguments())
def test_it_rises_in_the_warm_up_and_then_does_not(engine, arguments):
    run_, warmup = run(engine.cosine_schedule, arguments), arguments["warmup"]
    assert all(0 <= value <= 1 for value in run_)
    assert all(a < b for a, b in zip(run_[:warmup], run_[1:], strict=False))
    assert all(a >= b for a, b in zip(run_[warmup:], run_[warmup + 1 :], strict=False))


@both
@given(arguments())
def test_the_ends(engine, arguments):
    run_, warmup = run(engine.cosine_schedule, arguments), arguments["warmup"]
    assert run_[warmup] == 1
    assert warmup == 0 or run_[0] == 0
    assert warmup == arguments["steps"] or run_[-1] == 0


@both
@given(arguments())
def test_symmetric_about_its_middle(engine, arguments):
    run_ = run(engine.cosine_schedule, arguments | {"warmup": 0})
    for one, other in zip(run_, reversed(run_), strict=True):
        assert one + other == pytest.approx(1, abs=1e-15)


def _wrong(curve):
    def cosine_schedule(step, steps, warmup=0):
        if step < warmup:
            return step / warmup
        return curve((step - warmup) / max(1, steps - warmup))

    return cosine_schedule


WRONG = decays(refq.cosine_schedule) | {
    "quarter of a wave": _wrong(lambda p: math.cos(math.pi * p / 2)),
    "whole wave": _wrong(lambda p: (1 + math.cos(2 * math.pi * p)) / 2),
    "a line": _wrong(lambda p: 1 - p),
    "not halved": _wrong(lambda p: 1 + math.cos(math.pi * p)),
    "degrees": _wrong(lambda p: (1 + math.cos(180 * p)) / 2),
}
