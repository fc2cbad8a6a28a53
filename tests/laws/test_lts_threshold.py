"""Laws of lts_threshold."""

import math

from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.schedules import run, schedule_arguments
from tests.support import both


@st.composite
def arguments(draw):
    growth = draw(st.sampled_from(["constant", "linear", "sine"]))
    return draw(schedule_arguments()) | {"growth": growth, "final": draw(st.sampled_from([0.0, 0.1, 1.0]))}


@both
@given(arguments())
def test_it_does_not_fall(engine, arguments):
    thresholds = run(engine.lts_threshold, arguments)
    assert all(a <= b for a, b in zip(thresholds, thresholds[1:], strict=False))


@both
@given(arguments())
def test_the_ends(engine, arguments):
    thresholds, warmup = run(engine.lts_threshold, arguments), arguments["warmup"]
    assert thresholds[:warmup] == [-1.0] * warmup
    assert thresholds[warmup] == (arguments["final"] if arguments["growth"] == "constant" else 0)
    assert warmup == arguments["steps"] or thresholds[-1] == arguments["final"]


@both
@given(arguments())
def test_the_sine_is_above_the_line(engine, arguments):
    line = run(engine.lts_threshold, arguments | {"growth": "linear"})
    sine = run(engine.lts_threshold, arguments | {"growth": "sine"})
    assert all(a <= b + 1e-15 for a, b in zip(line, sine, strict=True))


def _wrong(curve, warm=-1.0):
    def lts_threshold(step, steps, warmup=0, growth="linear", final=1.0):
        if step < warmup:
            return warm
        p = (step - warmup) / max(1, steps - warmup)
        return float(curve({"constant": 1.0, "linear": p, "sine": math.sin(math.pi / 2 * p)}[growth], p, final))

    return lts_threshold


WRONG = {
    "0 in the warm-up": _wrong(lambda curve, p, final: final * curve, 0.0),
    "final in the warm-up": lambda step, steps, warmup=0, growth="linear", final=1.0: (
        final if step < warmup else refq.lts_threshold(step, steps, warmup, growth, final)
    ),
    "over all steps": lambda step, steps, warmup=0, growth="linear", final=1.0: (
        -1.0 if step < warmup else refq.lts_threshold(step, steps, 0, growth, final)
    ),
    "always linear": _wrong(lambda curve, p, final: final * p),
    "a sine of half a wave": _wrong(lambda curve, p, final: final * (math.sin(math.pi * p) if curve > p else curve)),
    "final forgotten": _wrong(lambda curve, p, final: curve),
    "falling": _wrong(lambda curve, p, final: final * (1 - curve)),
}
