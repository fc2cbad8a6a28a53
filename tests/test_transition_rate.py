"""Does the learning rate bring the transition rate to its target, where a plain one does not?

The simulation of benchmarks/transition_rate.py, 8,000 steps of 20,000 weights. With much noise in the gradient the
running rate keeps to the target at every step. With little, many weights cross at once, the controller switches on and
off, and the running rate keeps to it on the mean over the 100 steps that it remembers.
"""

import numpy as np
import pytest

from benchmarks.transition_rate import FIRST, LAST, MEMORY, RATE, simulate


@pytest.mark.parametrize(("noise", "over"), [(1, MEMORY), (6, 1)], ids=["little noise", "much noise"])
def test_the_controller(noise, over):
    run, plain = simulate(2, noise, scheduled=True), simulate(2, noise, scheduled=False)
    ratio = (run["running"] / run["target"])[FIRST].reshape(-1, over).mean(axis=1)
    assert np.abs(ratio - 1).max() <= 0.15
    assert 100 * run["rate"][LAST].mean() <= plain["rate"][LAST].mean()
    assert (plain["running"] / plain["target"])[FIRST].min() > 2
    rates = run["learning_rate"]
    assert RATE < rates[:200].max() < 2 * RATE  # first it rises, for nothing has been counted yet
    assert rates[-1] == 0
