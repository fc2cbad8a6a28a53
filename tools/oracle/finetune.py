"""Fine-tuning of codebooks at 50 digits: slopes of the weights as they are used, then what an entry makes of them."""

from fractions import Fraction

from tools.oracle import losses as formulas
from tools.oracle import optimizers
from tools.oracle.codebooks import lloyd_step
from tools.oracle.distilled import measured
from tools.oracle.models import bert_of, lifted, llama_of
from tools.oracle.numbers import Array, rounded, rows
from tools.oracle.ops import cross_entropy_of, linear_of
from tools.oracle.reals import Real, backward, bounded, constant, settled, total
from tools.oracle.step import bounded_arrays, clipped, close, number, optimized, parted
from tools.oracle.tables import codebook_lookup, lookup_slopes

CODEBOOK, INDEX = "_codebook", "_index"
FINETUNING = {
    "reduce": "mean",
    "learning_rate": Fraction(5e-5),
    "weight_decay": Fraction(0.01),
    "clip": 1,
    "steps": 300,
}
FINETUNING |= {"betas": [Fraction(0.9), Fraction(0.999)], "eps": Fraction(1e-8)}
UNREACHED = {"scores": ("pooler.", "classifier.")}


def finetune_gradients(params, batch, config, recipe):
    report, gradients = _found(params, batch, config, FINETUNING | recipe)
    return parted([report, bounded_arrays(gradients)])


def finetune_step(params, state, batch, config, recipe):
    recipe, step = FINETUNING | recipe, state.get("step", 0) + 1
    report, gradients = _found(params, batch, config, recipe)
    short, norm = clipped(gradients, recipe["clip"])
    rate = recipe["learning_rate"] * optimizers.linear_schedule(step - 1, recipe["steps"]).value.data[0]
    weights, moments = {}, {}
    for name, g in short.items():
        known = state.get("moments", {}).get(name)
        settings = recipe | {"step": step, "optimizer": "adamw"}
        weights[name], moments[name] = optimized(name, params[name], g, known, rate, settings)
    follow = {name + CODEBOOK for name in params if name + CODEBOOK in params}
    new = params | {name: table for name, table in report["stored"].items() if name in follow} | bounded_arrays(weights)
    report |= {"gradients": bounded_arrays(gradients), "norm": number(norm), "learning_rate": close(rate)}
    return parted([new, {"step": step, "moments": bounded_arrays(moments)}, report])


def _found(params, batch, config, recipe):
    """The report, and the gradients as Reals."""
    stored = _stored(params)
    weights = {name: w for name, w in stored.items() if not name.endswith((CODEBOOK, INDEX))}
    for name in [name.removesuffix(INDEX) for name in stored if name.endswith(INDEX)]:
        weights[name] = codebook_lookup(stored[name + INDEX], stored[name + CODEBOOK])
    [kind] = {"labels", "scores", "targets"} & batch.keys()
    names = [name for name in weights if not name.startswith(UNREACHED.get(kind, "-"))]
    output, loss, used = _slopes(lifted(weights), names, batch, config, kind)
    gradients = dict(used)
    for name in names:
        if name + INDEX in params:
            del gradients[name]
            table = stored[name + INDEX], stored[name + CODEBOOK]
            gradients[name + CODEBOOK] = lookup_slopes(used[name], *table, recipe["reduce"])
    tables = {name: array for name, array in stored.items() if name.endswith((CODEBOOK, INDEX))}
    report = {"losses": {"loss": number(loss)}, "output": bounded(output), "stored": tables}
    return report | {"used": bounded_arrays(used)}, gradients


def _stored(params):
    """Codebooks as float16 numbers; latent weights take a step of Lloyd's algorithm, and an index."""
    stored = {name: _half(array) if name.endswith(CODEBOOK) else array for name, array in params.items()}
    for name in [name for name in params if name + CODEBOOK in params]:
        w = stored.pop(name)
        groups = w._replace(shape=(1, len(w.data)))
        codebook, index = lloyd_step(groups, stored[name + CODEBOOK])
        stored |= {name + CODEBOOK: _half(codebook), name + INDEX: index._replace(shape=w.shape)}
    return stored


def _half(array):
    return array._replace(data=[rounded(v, "float16") for v in array.data])


def _slopes(weights, names, batch, config, kind):
    """What the model gives, the loss, and its slopes with respect to some weights."""

    def loss_of(weights):
        return _TASKS[kind](weights, batch, config)

    output, loss = loss_of(weights)
    flows = backward([loss], [Real(1)])
    chain = {name: [total(flows.get(id(r), [Real(0)])) for r in weights[name].data] for name in names}
    numbers = [loss, *output.data, *(r for part in chain.values() for r in part)]
    numbers = iter(settled(Array("float32", (len(numbers),), numbers)).data)
    loss, output = next(numbers), output._replace(data=[next(numbers) for _ in output.data])
    chain = {name: [next(numbers) for _ in part] for name, part in chain.items()}
    slopes = measured(lambda weights: loss_of(weights)[1], weights, chain)
    return output, loss, {name: weights[name]._replace(data=list(map(_whole, data))) for name, data in slopes.items()}


def _whole(slope):
    """0 for what is 0 but for the 50th digit, as the slope of a key's bias is."""
    return Real(0, slope.error) if abs(slope.value) < slope.error / 10**15 else slope


def _labels(weights, batch, config):
    _, pooled = bert_of(weights, batch["tokens"], batch["mask"], config, batch.get("types"))
    logits = linear_of(pooled, weights["classifier.weight"], weights["classifier.bias"])
    return logits, _mean(cross_entropy_of(logits, batch["labels"]).data)


def _scores(weights, batch, config):
    hidden, _ = bert_of(weights, batch["tokens"], batch["mask"], config, batch.get("types"))
    B, T, D = hidden.shape
    states, data = rows(hidden), []
    for b in range(B):
        seen = [states[b * T + t] for t in range(T) if batch["mask"].data[b * T + t]]
        data += [_mean([row[i] for row in seen]) for i in range(D)]
    half = B // 2 * D
    first, second = (Array("float32", (B // 2, D), part) for part in (data[:half], data[half:]))
    distances = formulas.by_row(formulas.cosine_row, first, second)
    above = [d - constant(1 - s) for d, s in zip(distances.data, batch["scores"].data, strict=True)]
    return distances, _mean([a * a for a in above])


def _targets(weights, batch, config):
    logits = llama_of(weights, batch["tokens"], None, config)[0]
    part = cross_entropy_of(logits, batch["targets"])
    return logits, formulas.reduced(part, batch["mask"], "token_mean").data[0]


_TASKS = {"labels": _labels, "scores": _scores, "targets": _targets}


def _mean(numbers):
    return total(numbers) / Real(len(numbers))
