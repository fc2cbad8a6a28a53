"""The losses of a student at 50 digits, and their slopes with respect to the weights as the model uses them.

The slopes are central differences, one weight at a time. How far a float32 program may be off them follows from the
history of the same slopes by the chain rule, which must agree with the differences. Where a case is computed again
(QUICK), they are those of the chain rule, held against one difference an array.
"""

from typing import NamedTuple

from tools.oracle import grids, learned, losses, ranges, transitions
from tools.oracle.inputs import Inputs
from tools.oracle.models import lifted, llama_of
from tools.oracle.numbers import Array, rounded
from tools.oracle.ops import attention_scores_of, cross_entropy_of
from tools.oracle.reals import QUICK, UNIT, Real, agree, backward, constant, differences, lift, mp, settled, total
from tools.oracle.student import (
    INPUT_SCALE,
    INPUT_ZERO_POINT,
    SCALE,
    ZERO_POINT,
    check_clear,
    forward_codes,
    grid_of,
    surrogate,
)


class Distilled(NamedTuple):
    """Of one forward and backward pass: Reals that carry their errors, and exact codes."""

    losses: dict
    logits: Array
    codes: dict
    used: dict
    gradients: dict
    hidden: list


def distilled(params, batch, config, recipe):
    """A whole recipe: no default is filled in."""
    limits = grids.integer_range(recipe["bits"])
    weights = {name: w for name, w in params.items() if not name.endswith((SCALE, ZERO_POINT))}
    trained = [name for name in weights if name not in recipe["frozen"]]
    trained += [name for name in params if name.endswith(INPUT_SCALE) and name not in recipe["frozen"]]
    cells = {name: grid_of(params, name, *limits) for name in trained if name + SCALE in params}
    codes = {}
    for name, grid in cells.items():
        check_clear(grid, name)
        codes[name] = forward_codes(grid, recipe)
        weights[name] = grids.dequantize(codes[name], *grid[1:3])._replace(shape=params[name].shape)
    steps = {name: ranges.float16_scale(w) for name, w in params.items() if name.endswith(INPUT_SCALE)}
    weights |= steps | {name: w for name, w in params.items() if name.endswith(INPUT_ZERO_POINT)}
    terms, logits, used, hidden = _slopes(weights, trained, batch, config, recipe)
    if recipe["gradient_l1"] and codes:
        terms["gradient_l1"] = total([abs(v) for name in codes for v in used[name].data])
        used = _penalized(weights, used, list(codes), (batch, config, recipe))
    return Distilled(terms, logits, codes, used, _gradients(params, cells, used, recipe), hidden)


def _slopes(weights, trained, batch, config, recipe):
    """Terms, logits, slopes of the loss with respect to the weights that are trained, and the states between layers."""
    weights, inputs = lifted(weights), Inputs(recipe["activations"])

    def terms_of(weights):
        logits, caches, seen = llama_of(weights, batch["tokens"], None, config, inputs.begin(weights))
        return _terms(logits, seen | {"keys": [k for k, _ in caches]}, batch, recipe), logits, seen["hidden"]

    terms, logits, hidden = terms_of(weights)
    flows = backward([terms["loss"]], [Real(1)])
    chain = {name: [total(flows.get(id(r), [Real(0)])) for r in weights[name].data] for name in trained}
    numbers = [*terms.values(), *logits.data, *(r for part in chain.values() for r in part)]
    numbers = iter(settled(Array("float32", (len(numbers),), numbers)).data)
    terms, logits = {name: next(numbers) for name in terms}, logits._replace(data=[next(numbers) for _ in logits.data])
    chain = {name: [next(numbers) for _ in part] for name, part in chain.items()}
    slopes = measured(lambda weights: terms_of(weights)[0]["loss"], weights, chain)
    used = {name: weights[name]._replace(data=data) for name, data in slopes.items()}
    return terms, logits, used, hidden


def measured(loss, weights, chain):
    """The slopes as differences, with the errors that a program by the chain rule has."""
    if QUICK.get():
        agree(loss, weights, chain)
        return chain
    slopes = differences(loss, weights, chain)
    return {name: [_agreed(d, r) for d, r in zip(slopes[name], chain[name], strict=True)] for name in chain}


def _agreed(difference, by_chain_rule):
    if abs(difference - by_chain_rule.value) > (abs(difference) + UNIT) * mp.mpf(10) ** -15:
        raise ArithmeticError(f"a central difference of {difference}, and {by_chain_rule.value} by the chain rule")
    return Real(difference, by_chain_rule.error)


def _penalized(weights, used, names, rest):
    """The slopes with those of the l1 norm added: a difference of the slopes on both sides of the weights."""
    epsilon = transitions.gradient_l1_epsilon({name: weights[name] for name in names}).value.data[0]
    step, sides = rounded(epsilon), []
    for sign in (1, -1):
        moved = dict(weights)
        for name in names:
            signs = [sign * _sign(g) for g in used[name].data]
            data = [rounded(w + s * step) for w, s in zip(weights[name].data, signs, strict=True)]
            moved[name] = weights[name]._replace(data=data)
        sides.append(_slopes(moved, list(used), *rest)[2])
    factor, (plus, minus) = constant(rest[2]["gradient_l1"] / (2 * epsilon)), sides
    return {
        name: g._replace(
            data=[v + factor * (a - b) for v, a, b in zip(g.data, plus[name].data, minus[name].data, strict=True)]
        )
        for name, g in used.items()
    }


def _sign(g):
    if g.value and abs(g.value) < 1000 * g.error:
        raise ArithmeticError(f"a gradient of {g.value} with an error of {g.error} has no sign")
    return (g.value > 0) - (g.value < 0)


def _gradients(params, cells, used, recipe):
    gradients = {}
    for name, g in used.items():
        gradients[name] = g
        if name.endswith(INPUT_SCALE):
            inputs = params[name.removesuffix(INPUT_SCALE) + ".weight"].shape[1]
            factor = learned.lsq_gradient_scale(inputs, grids.integer_range(recipe["activations"])[1])
            gradients[name] = g._replace(data=[v * constant(factor) for v in g.data])
        if name in cells:
            gx, gscale = surrogate(cells[name], g.data, recipe)
            gradients[name] = g._replace(data=gx)
            if gscale and name + SCALE not in recipe["frozen"]:
                gradients[name + SCALE] = params[name + SCALE]._replace(data=gscale)
    return gradients


def _terms(logits, seen, batch, recipe):
    """Each term and "loss"; cross-entropy also beside kl."""
    kinds = {"kl": losses.forward, "reverse_kl": losses.reverse, "js": losses.jensen_shannon}
    kinds |= {"logit_mse": losses.error_row, "logit_cosine": losses.cosine_row}

    def each(name):
        """Losses of some positions each, to be reduced one by one."""
        if name == "ce":
            return [cross_entropy_of(logits, batch["targets"])]
        if name == "hidden":
            pairs = zip(seen["hidden"], batch["teacher_hidden"], strict=True)
            return [losses.by_row(losses.error_row, x, lift(y)) for x, y in pairs]
        if name == "attention":
            triples = zip(seen["queries"], seen["keys"], batch["teacher_attention"], strict=True)
            return [
                losses.by_row(losses.map_row, attention_scores_of(q, k, Real("-inf")), lift(y)) for q, k, y in triples
            ]
        softened = recipe["temperature"], recipe["temperature_squared"]
        if name == "top_k_kl":
            kept = lift(batch["teacher_log_probs"]), batch["teacher_indices"]
            return [losses.top_k_kl_of(logits, *kept, *softened, recipe["top_k_renormalize"])]
        softened = () if name.startswith("logit") else softened
        return [losses.by_row(kinds[name], logits, lift(batch["teacher_logits"]), *softened)]

    shares = recipe["losses"]
    names = [*shares] + ["ce"] * ("kl" in shares and "ce" not in shares)
    terms = {name: total([_reduced(part, batch["mask"], recipe["reduction"]) for part in each(name)]) for name in names}
    return terms | {"loss": total([constant(share) * terms[name] for name, share in shares.items()])}


def _reduced(part, mask, reduction):
    """A mask (B, T) of losses (B, T) or (B, K, R, T)."""
    T, heads = mask.shape[1], len(part.data) // len(mask.data)
    rows_of_mask = [mask.data[i : i + T] for i in range(0, len(mask.data), T)]
    repeated = [keep for row in rows_of_mask for _ in range(heads) for keep in row]
    return losses.reduced(part, mask._replace(shape=part.shape, data=repeated), reduction).data[0]
