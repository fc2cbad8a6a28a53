"""What the laws of the transition-adaptive learning rates share."""

from hypothesis import strategies as st

SHARES = st.sampled_from([0.0, 1e-4, 0.01, 0.1, 0.25, 0.5, 1.0])
RATES = st.sampled_from([0.0, 1e-4, 0.01, 0.1, 1.0])


@st.composite
def controller_arguments(draw):
    return {"learning_rate": draw(RATES), "target": draw(SHARES), "running": draw(SHARES)}


def assert_toward_the_target(rule, arguments):
    """Up where fewer codes change than should, down where more do, still where as many do."""
    before, after = arguments["learning_rate"], rule(**arguments)
    assert type(after) is float
    assert after >= 0
    if arguments["running"] < arguments["target"]:
        assert after >= before or abs(after - before) < 1e-15
    elif arguments["running"] > arguments["target"]:
        assert after <= before or abs(after - before) < 1e-15
    else:
        assert abs(after - before) < 1e-15
