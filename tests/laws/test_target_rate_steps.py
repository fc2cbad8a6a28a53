"""Laws of target_rate_steps."""

from hypothesis import given
from hypothesis import strategies as st

from tests.laws.schedules import run
from tests.support import both


@st.composite
def arguments(draw):
    steps = draw(st.integers(1, 50))
    return {
        "initial": draw(st.sampled_from([0.0, 0.007, 0.5])),
        "step": draw(st.integers(0, steps)),
        "steps": steps,
        "drops": draw(st.lists(st.integers(0, steps), max_size=3)),
        "factor": draw(st.sampled_from([0.1, 0.5])),
    }


@both
@given(arguments())
def test_it_changes_at_the_drops_alone(engine, arguments):
    targets = run(engine.target_rate_steps, arguments)
    for step in range(1, arguments["steps"] + 1):
        assert (targets[step] < targets[step - 1]) == (step in arguments["drops"] and arguments["initial"] > 0)


@both
@given(arguments())
def test_no_drops_no_change(engine, arguments):
    assert set(run(engine.target_rate_steps, arguments | {"drops": []})) == {arguments["initial"]}


@both
@given(arguments())
def test_it_is_the_step_schedule_of_a_learning_rate(engine, arguments):
    multiplier = engine.step_schedule(warmup=0, **{k: v for k, v in arguments.items() if k != "initial"})
    assert engine.target_rate_steps(**arguments) == arguments["initial"] * multiplier


def _wrong(count, power=lambda factor, n: factor**n):
    def target_rate_steps(initial, step, steps, drops, factor=0.1):
        return float(initial * power(factor, count(step, list(drops))))

    return target_rate_steps


def _counted(step, drops):
    return sum(drop <= step for drop in drops)


WRONG = {
    "a step late": _wrong(lambda step, drops: sum(drop < step for drop in drops)),
    "one drop at most": _wrong(lambda step, drops: min(1, _counted(step, drops))),
    "drops forgotten": _wrong(lambda step, drops: 0),
    "factor times the number": _wrong(_counted, lambda factor, n: factor * n if n else 1),
    "the initial target forgotten": lambda initial, step, steps, drops, factor=0.1: float(
        factor ** _counted(step, list(drops))
    ),
}
