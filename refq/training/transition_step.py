"""Transition rates during training: observed always, and steering the learning rate where the recipe says so.

state["codes"]    name -> codes of the forward pass of the step before
state["running"]  scope -> running transition rate K; a scope is a weight's name, or "all"
state["rates"]    scope -> learning rate U of the quantized weights, under transition-rate scheduling
"""

import numpy as np

from refq.training.recipe import TRANSITION


def observed(codes, state, recipe, step, ops):
    """Compare the codes of this forward pass with those of the one before.

    Returns
        report: dict: "rate" and "running", scope -> float; if scheduled "target", a float, and "learning_rate",
            scope -> float.
        state: dict of "codes", "running" and "rates" after this step.
    """
    scheduled, before = recipe["transition"], state.get("codes", codes)
    momentum = (scheduled or TRANSITION)["momentum"]
    scopes = {}
    for name in codes:
        scopes.setdefault(scope_of(name, recipe), []).append(name)
    rate, running, rates = {}, {}, {}
    target = None
    if scheduled:
        initial = ops.initial_target(recipe["bits"], scheduled["strength"])
        target = ops.target_rate(initial, step - 1, recipe["steps"])
    for scope, names in scopes.items():
        joined = (np.concatenate([part[name].reshape(-1) for name in names]) for part in (codes, before))
        rate[scope] = ops.transition_rate(*joined)
        running[scope] = ops.running_rate(state.get("running", {}).get(scope, 0.0), rate[scope], momentum)
        if scheduled:
            known = state.get("rates", {}).get(scope, recipe["learning_rate"])
            rates[scope] = _RULES[scheduled["rule"]](ops, known, target, running[scope], recipe["learning_rate"])
    report = {"rate": rate, "running": running} | ({"target": target, "learning_rate": rates} if scheduled else {})
    return report, {"codes": codes, "running": running, "rates": rates}


def scope_of(name, recipe):
    """Whose rates a weight shares."""
    return "all" if (recipe["transition"] or TRANSITION)["scope"] == "global" else name


_RULES = {
    "additive": lambda ops, rate, target, running, eta: ops.talr_additive(rate, target, running, eta),
    "multiplicative": lambda ops, rate, target, running, eta: ops.talr_multiplicative(rate, target, running),
    "momentum": lambda ops, rate, target, running, eta: ops.talr_momentum(rate, target, running),
}
