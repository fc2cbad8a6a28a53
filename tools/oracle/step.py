"""One training step at 50 digits."""

from fractions import Fraction

from tools.oracle import grids, optimizers, transitions
from tools.oracle.distilled import distilled
from tools.oracle.numbers import Array, Bounded, elementwise, rounded
from tools.oracle.reals import Real, bounded, constant, lift, mp, settled, sqrt, total
from tools.oracle.student import CLEAR, INPUT_SCALE, SCALE, check_clear, check_clear_half, grid_of

RECIPE = {"bits": 4, "quantizer": "lsq", "sharpness": 0, "beta": 1, "activations": None, "frozen": []}
RECIPE |= {"losses": {"kl": 1}, "temperature": 1, "temperature_squared": True, "top_k_renormalize": True}
RECIPE |= {"reduction": "token_mean", "optimizer": "adamw", "weight_decay": 0, "clip": 1, "momentum": Fraction(0.9)}
RECIPE |= {"betas": [Fraction(0.9), Fraction(0.999)], "eps": Fraction(1e-8)}
RECIPE |= {"learning_rate": Fraction(1e-3), "scale_learning_rate": Fraction(1e-4), "float_learning_rate": None}
RECIPE |= {"schedule": "cosine", "warmup": 0, "steps": 300, "transition": None}
RECIPE |= {"gradient_l1": 0, "lottery": None}
TRANSITION = {"strength": Fraction(5e-3), "momentum": Fraction(0.99), "scope": "layer", "rule": "additive"}
LOTTERY = {"momentum": Fraction(0.99), "growth": "linear", "final": 1, "warmup": 0}
SMALLEST = Fraction(1, 2**24)  # scale
ABOVE = 1000  # times eps: the smallest gradient that Adam is shown


def kd_gradients(params, batch, config, recipe):
    found = distilled(params, batch, config, RECIPE | recipe)
    return parted([_report(found), bounded_arrays(found.gradients)])


def kd_step(params, state, batch, config, recipe):
    recipe, step = RECIPE | recipe, state.get("step", 0) + 1
    scheduled = recipe["transition"] and TRANSITION | recipe["transition"]
    found = distilled(params, batch, config, recipe)
    fixed = () if scheduled is None else {name + SCALE for name in found.codes}
    gradients = {name: g for name, g in found.gradients.items() if name not in fixed}
    short, norm = clipped(gradients, recipe["clip"])
    multiplier = _multiplier(recipe, step - 1)
    seen, now = _transitions(found.codes, state, recipe, scheduled, step)
    weights, moments = {}, {}
    for name, g in short.items():
        rate = recipe["scale_learning_rate" if name.endswith(SCALE) else "learning_rate"]
        if name not in found.codes and not name.endswith(SCALE) and recipe["float_learning_rate"] is not None:
            rate = recipe["float_learning_rate"]
        rate *= multiplier
        if name.endswith(INPUT_SCALE):
            rate *= params[name].data[0]
        if scheduled is not None and name in found.codes:
            rate = now["rates"][_scope(name, scheduled)].value.data[0]
        known = state.get("moments", {}).get(name)
        weights[name], moments[name] = optimized(name, params[name], g, known, rate, recipe | {"step": step})
    lottery = {} if recipe["lottery"] is None else _settled(params, weights, found.codes, state, recipe, step)
    new = params | bounded_arrays(weights)
    _check_clear_after(new, found.codes, recipe)
    report = _report(found) | {"gradients": bounded_arrays(gradients), "norm": number(norm), "transitions": seen}
    report["learning_rate"] = close(recipe["learning_rate"] * multiplier)
    state = {"step": step, "moments": bounded_arrays(moments), "codes": found.codes} | now | lottery
    return parted([new, state, report])


def clipped(gradients, limit):
    norm = sqrt(total([v * v for g in gradients.values() for v in g.data])) if gradients else Real(0)
    if limit is None or not gradients:
        return gradients, norm
    factor = Real(limit) / (norm + constant(Fraction(1, 10**6)))
    if abs(factor.value - 1) < CLEAR.numerator / mp.mpf(CLEAR.denominator):
        raise ArithmeticError(f"a norm of {norm.value} is too near to the limit {limit}")
    if factor.value > 1:
        return gradients, norm
    return {name: g._replace(data=[factor * v for v in g.data]) for name, g in gradients.items()}, norm


def _multiplier(recipe, at):
    schedules = {"cosine": optimizers.cosine_schedule, "linear": optimizers.linear_schedule}
    schedule = schedules.get(recipe["schedule"], optimizers.step_schedule)
    return schedule(at, recipe["steps"], recipe["warmup"]).value.data[0]


def _transitions(codes, state, recipe, scheduled, step):
    """What the report says of them, and the state after them."""
    rule = TRANSITION if scheduled is None else scheduled
    before, scopes, seen, now = state.get("codes", codes), {}, {"rate": {}, "running": {}}, {"running": {}, "rates": {}}
    for name in codes:
        scopes.setdefault(_scope(name, rule), []).append(name)
    initial = transitions.initial_target(recipe["bits"], rule["strength"]).value.data[0]
    target = transitions.target_rate(initial, step - 1, recipe["steps"])
    for scope, names in scopes.items():
        joined = [Array("int32", (), [q for name in names for q in part[name].data]) for part in (codes, before)]
        seen["rate"][scope] = transitions.transition_rate(*joined)
        last = state.get("running", {}).get(scope, 0)
        running = transitions.running_rate(last, seen["rate"][scope].value.data[0], rule["momentum"])
        seen["running"][scope] = now["running"][scope] = running
        if scheduled is not None:
            known = state.get("rates", {}).get(scope, recipe["learning_rate"])
            args = known, target.value.data[0], running.value.data[0]
            rest = {"additive": (recipe["learning_rate"],)}.get(rule["rule"], ())
            now["rates"][scope] = getattr(transitions, f"talr_{rule['rule']}")(*args, *rest)
    return seen | ({} if scheduled is None else {"target": target, "learning_rate": now["rates"]}), now


def _scope(name, rule):
    return "all" if rule["scope"] == "global" else name


def optimized(name, w, g, known, rate, recipe):
    decay = 0 if name.endswith(SCALE) or len(w.shape) < 2 else recipe["weight_decay"]
    old, after = lift(w).data, []
    if recipe["optimizer"] == "sgd":
        velocity = [Real(0)] * len(old) if known is None else lift(known).data
        coupled = [v + constant(decay) * x if decay else v for v, x in zip(g.data, old, strict=True)]
        state = g._replace(data=[constant(recipe["momentum"]) * v + d for v, d in zip(velocity, coupled, strict=True)])
        after = [x - constant(rate) * v for x, v in zip(old, state.data, strict=True)]
    else:
        known = known or Array(w.dtype, (2, *w.shape), [Fraction(0)] * 2 * len(old))
        kept, data = constant(1 - Fraction(rate) * Fraction(decay)) if decay else Real(1), g.data
        _check_above(name, data, recipe["eps"])
        if recipe["optimizer"] == "adam":
            kept, data = Real(1), [v + constant(decay) * x if decay else v for v, x in zip(data, old, strict=True)]
        u, state = optimizers.direction(data, known, recipe["step"], recipe["betas"], recipe["eps"])
        after = [(kept * x if decay else x) - constant(rate) * v for x, v in zip(old, u, strict=True)]
    if name.endswith(SCALE):
        after = [Real(SMALLEST) if x.value < float(SMALLEST) else x for x in after]
    return g._replace(data=after), state


def _settled(params, weights, codes, state, recipe, step):
    """Puts the settled ones of the weights back, and gives the state of all."""
    rule, distances, settled = LOTTERY | recipe["lottery"], {}, {}
    curve = rule["warmup"], rule["growth"], rule["final"]
    threshold = transitions.lts_threshold(step - 1, recipe["steps"], *curve).value.data[0]
    for name, q in codes.items():
        grid = grid_of(params, name, *grids.integer_range(recipe["bits"]))
        position = elementwise(lambda x, s: rounded(x / s), "float32", *grid[:2])
        position = elementwise(lambda t, z: rounded(t + z), "float32", position, grid.zero_point)
        known, previous = state.get("distances", {}).get(name), state.get("codes", codes)[name]
        distances[name] = transitions.lts_distance(known, position, q, previous, rule["momentum"])
        for d in distances[name].value.data:
            if abs(d - threshold) < CLEAR:
                raise ArithmeticError(
                    f"{name}: a distance of {float(d)} is too near to the threshold {float(threshold)}"
                )
        before = state.get("settled", {}).get(name, q._replace(dtype="bool", data=[False] * len(q.data)))
        settled[name] = transitions.lts_freeze(before, distances[name].value, threshold)
        held = zip(weights[name].data, lift(params[name]).data, settled[name].data, strict=True)
        weights[name] = weights[name]._replace(data=[old if stays else now for now, old, stays in held])
    return {"distances": distances, "settled": settled}


def _check_above(name, data, eps):
    """Where a gradient is as small as eps, or as its own error, Adam makes a large step of a rounding error."""
    for v in settled(Array("float32", (len(data),), data)).data:
        if (v.value or v.error) and not abs(v.value) > max(map(mp.convert, (ABOVE * eps, 30 * v.error))):
            raise ArithmeticError(f"{name} has a gradient of {v.value}, too small for eps or for its error {v.error}")


def _check_clear_after(new, codes, recipe):
    """The codes and the stored scales of the next step are as clear as those of this one."""
    exact = {name: w.value if isinstance(w, Bounded) else w for name, w in new.items()}
    for name in codes:
        check_clear(grid_of(exact, name, *grids.integer_range(recipe["bits"])), f"{name} after the step")
    for name, w in new.items():
        if name.endswith(SCALE) and isinstance(w, Bounded):
            check_clear_half(w.value.data)


def _report(found):
    losses = {name: number(loss) for name, loss in found.losses.items()}
    return {"losses": losses, "logits": bounded(found.logits), "codes": found.codes, "used": bounded_arrays(found.used)}


def bounded_arrays(arrays):
    return {name: bounded(array) for name, array in arrays.items()}


def number(real):
    """A float64 number without axes, with the error that a float32 computation of it has."""
    value, within = bounded(Array("float32", (), [real]))
    return Bounded(value._replace(dtype="float64"), within)


def close(value):
    exact = rounded(Fraction(value), "float64")
    return Bounded(Array("float64", (), [exact]), Array("float32", (), [rounded(abs(exact) * optimizers.CLOSE)]))


def parted(value):
    """An object or a list with results in it, as one result: the values, and the bounds in the same places."""
    if isinstance(value, dict):
        parts = {name: parted(item) for name, item in value.items()}
        return Bounded({n: p.value for n, p in parts.items()}, {n: p.within for n, p in parts.items()})
    if isinstance(value, list):
        parts = [parted(item) for item in value]
        return Bounded([p.value for p in parts], [p.within for p in parts])
    return value if isinstance(value, Bounded) else Bounded(value, None)
