"""What the laws of the schedules share."""

from hypothesis import strategies as st


@st.composite
def schedule_arguments(draw):
    steps = draw(st.integers(1, 50))
    return {"step": draw(st.integers(0, steps)), "steps": steps, "warmup": draw(st.integers(0, steps))}


def run(schedule, arguments):
    """The multipliers of all steps of a run, and of its end."""
    return [schedule(**(arguments | {"step": step})) for step in range(arguments["steps"] + 1)]


def mistakes(schedule):
    """The mistakes that all schedules share."""
    return {
        "the warm-up begins above 0": lambda step, steps, warmup=0, **more: (
            (step + 1) / warmup if step < warmup else schedule(step, steps, warmup, **more)
        ),
        "the warm-up ends at once": lambda step, steps, warmup=0, **more: (
            0.0 if step < warmup else schedule(step, steps, warmup, **more)
        ),
        "no warm-up": lambda step, steps, warmup=0, **more: schedule(step, steps, 0, **more),
    }


def decays(schedule):
    """The mistakes that schedules which fall to 0 share."""
    return mistakes(schedule) | {
        "decay over all steps": lambda step, steps, warmup=0: (
            step / warmup if step < warmup else schedule(step, steps, 0)
        ),
        "0 at the last step": lambda step, steps, warmup=0: (
            step / warmup if step < warmup else schedule(min(step, steps - 1), max(steps - 1, warmup, 1), warmup)
        ),
        "one step ahead": lambda step, steps, warmup=0: (
            step / warmup if step < warmup else schedule(min(step + 1, steps), steps, warmup)
        ),
        "rising": lambda step, steps, warmup=0: step / warmup if step < warmup else 1 - schedule(step, steps, warmup),
    }
