"""Laws of step_schedule."""

from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.schedules import mistakes, run, schedule_arguments
from tests.support import both


@st.composite
def arguments(draw):
    found = draw(schedule_arguments())
    drops = draw(st.lists(st.integers(0, found["steps"]), max_size=3))
    return found | {"drops": drops, "factor": draw(st.sampled_from([0.1, 0.5, 1.0]))}


@both
@given(arguments())
def test_it_changes_at_the_drops_alone(engine, arguments):
    run_ = run(engine.step_schedule, arguments)
    for step in range(arguments["warmup"] + 1, arguments["steps"] + 1):
        if step not in arguments["drops"]:
            assert run_[step] == run_[step - 1]
        elif arguments["factor"] < 1:
            assert run_[step] < run_[step - 1]


@both
@given(arguments())
def test_factor_1_is_constant(engine, arguments):
    assert set(run(engine.step_schedule, arguments | {"factor": 1.0})[arguments["warmup"] :]) == {1.0}


@both
@given(arguments())
def test_the_order_of_the_drops_does_not_matter(engine, arguments):
    turned = arguments | {"drops": arguments["drops"][::-1]}
    assert engine.step_schedule(**turned) == engine.step_schedule(**arguments)


def _wrong(count, power=lambda factor, n: factor**n):
    def step_schedule(step, steps, warmup=0, drops=(), factor=0.1):
        return step / warmup if step < warmup else float(power(factor, count(step, warmup, list(drops))))

    return step_schedule


def _counted(step, warmup, drops):
    return sum(drop <= step for drop in drops)


WRONG = mistakes(refq.step_schedule) | {
    "a step late": _wrong(lambda step, warmup, drops: sum(drop < step for drop in drops)),
    "counted from the end of the warm-up": _wrong(
        lambda step, warmup, drops: sum(drop <= step - warmup for drop in drops)
    ),
    "one drop at most": _wrong(lambda step, warmup, drops: min(1, _counted(step, warmup, drops))),
    "the drops as a set": _wrong(lambda step, warmup, drops: _counted(step, warmup, set(drops))),
    "factor times the number": _wrong(_counted, lambda factor, n: factor * n if n else 1),
    "drops forgotten": _wrong(lambda step, warmup, drops: 0),
}
