"""A group of blocks in training, at 50 digits: slopes of the weights as they are used, and then of what makes them."""

from fractions import Fraction
from typing import NamedTuple

from tools.oracle import grids, optimizers, ranges
from tools.oracle.distilled import measured
from tools.oracle.inputs import Inputs
from tools.oracle.learned import shared_sum
from tools.oracle.models import llama_of
from tools.oracle.numbers import Array, clip, elementwise, nearest_even, rounded, rows
from tools.oracle.reals import Real, backward, bounded, constant, lift, settled, total
from tools.oracle.rotation import transformed
from tools.oracle.solvers import clipped_grid
from tools.oracle.step import bounded_arrays, clipped, close, number, optimized, parted

RECIPE = {"layers": [0], "train": ["low_rank"], "bits": 4, "group_size": None, "symmetric": False}
RECIPE |= {"group_sizes": {}, "kept": []}
RECIPE |= {"activations": None, "attention": None, "rotated_queries": False, "inputs": {}}
RECIPE |= {"scaling": Fraction(0.25), "official_factors": False, "clip": None, "schedule": "linear", "steps": 1280}
RECIPE |= {"weight_decay": 0, "betas": [Fraction(0.9), Fraction(0.999)], "eps": Fraction(1e-8), "optimizer": "adamw"}
RATES = {"low_rank": 5e-4, "clipping": 1e-2, "weights": 1e-4, "norms": 5e-4, "biases": 5e-4}
ENDS = {"low_rank": (".low", ".high"), "clipping": (".gamma", ".beta"), "weights": ("_proj.weight",)}
ENDS |= {"norms": ("norm.weight",), "biases": (".bias",)}
SCHEDULES = {"linear": optimizers.linear_schedule, "cosine": optimizers.cosine_schedule}


class Cell(NamedTuple):
    """A linear weight in groups on its grid; slopes: what a step moves with each logit, or None."""

    groups: Array
    scale: Array
    zero_point: Array
    slopes: list


def reconstruction_gradients(params, batch, config, recipe):
    report, gradients = _found(params, batch, config, RECIPE | recipe)
    return parted([report, bounded_arrays(gradients)])


def reconstruction_step(params, state, batch, config, recipe):
    recipe, step = RECIPE | recipe, state.get("step", 0) + 1
    rates = {kind: Fraction(rate) for kind, rate in (RATES | recipe.get("learning_rates", {})).items()}
    report, gradients = _found(params, batch, config, recipe)
    short, norm = clipped(gradients, recipe["clip"])
    schedule = SCHEDULES.get(recipe["schedule"], optimizers.step_schedule)
    multiplier = schedule(step - 1, recipe["steps"]).value.data[0]
    new, moments = dict(params), {}
    for name, g in short.items():
        known = state.get("moments", {}).get(name)
        rate = rates[_kind(name, recipe)] * multiplier
        after, moments[name] = optimized(name, params[name], g, known, rate, recipe | {"step": step})
        new[name] = bounded(after)
    report |= {"gradients": bounded_arrays(gradients), "norm": number(norm), "multiplier": close(multiplier)}
    return parted([new, {"step": step, "moments": bounded_arrays(moments)}, report])


def _found(params, batch, config, recipe):
    """The report, and the gradients as Reals."""
    layers = [n.removesuffix(".weight") for n in params if n.endswith(ENDS["weights"]) and _inside(n, recipe)]
    cells, leaves = {}, {name: lift(w) for name, w in params.items() if _inside(name, recipe)}
    for name in [f"{layer}.weight" for layer in layers if recipe["bits"] and layer not in recipe["kept"]]:
        cell = cells[name] = _cell(name, params, recipe)
        quantized = grids.fake_quantize(*cell[:3], 0, 2 ** recipe["bits"] - 1)
        leaves[name] = lift(quantized._replace(shape=params[name].shape))
    names = [name for name in leaves if _kind(name, recipe)]
    learning = [f"{layer}.weight" for layer in layers if {f"{layer}.weight", f"{layer}.weight.gamma"} & {*names}]
    direct = [name for name in names if name not in learning and not name.endswith(ENDS["clipping"])]
    loss, states, used = _slopes(leaves, [*learning, *direct], batch, config, recipe)
    gradients = {}
    for name in names:
        weight = name.removesuffix(".gamma").removesuffix(".beta")
        gradients[name] = used[weight]
        if weight in cells:
            data = _surrogate(cells[weight], used[weight], 2 ** recipe["bits"] - 1, name)
            gradients[name] = params[name]._replace(data=data)
    report = {"loss": number(loss), "states": [bounded(x) for x in states]}
    report["weights"] = {n: bounded(leaves[n]) for n in (f"{layer}.weight" for layer in layers)}
    return report | {"used": bounded_arrays({name: used[name] for name in learning})}, gradients


def _cell(name, params, recipe):
    size, bits = recipe["group_sizes"].get(name.removesuffix(".weight"), recipe["group_size"]), recipe["bits"]
    groups = grids.to_groups(params[name], size)
    if name + ".gamma" in params:
        logits = (params[name + end]._replace(shape=(*groups.shape[:2], 1)) for end in ENDS["clipping"])
        return Cell(groups, *clipped_grid(groups, *logits, bits))
    scale, zero_point = ranges.minmax(groups, *grids.integer_range(bits), recipe["symmetric"], "float16")
    shifted = zero_point._replace(data=[z + 2 ** (bits - 1) for z in zero_point.data])
    return Cell(groups, scale, shifted, None)


def _surrogate(cell, g, n, name):
    """The gradients of a weight, or of a logit, from those of the quantized weight; n: the largest code."""
    g = g._replace(shape=cell.groups.shape)
    t = elementwise(lambda v, s: rounded(v / s), "float32", cell.groups, cell.scale)
    inside = elementwise(lambda v, z: 0 <= nearest_even(v) + z <= n, "bool", t, cell.zero_point)
    if not name.endswith(ENDS["clipping"]):
        return [v if i else Real(0) for v, i in zip(g.data, inside.data, strict=True)]

    def slope(v, z, i):
        return nearest_even(v) - v if i else clip(nearest_even(v), -z, n - z)

    gscale = shared_sum(g, elementwise(slope, "float32", t, cell.zero_point, inside), cell.scale)
    return [a * b for a, b in zip(gscale.data, cell.slopes[name.endswith(".beta")], strict=True)]


def _slopes(leaves, names, batch, config, recipe):
    """The loss, the states, and the slopes of the loss with respect to some leaves."""
    run = _Run(batch, config, recipe)
    states = run(leaves)
    loss = run.loss(states)
    flows = backward([loss], [Real(1)])
    chain = {name: [total(flows.get(id(r), [Real(0)])) for r in leaves[name].data] for name in names}
    numbers = [loss, *(r for x in states for r in x.data), *(r for part in chain.values() for r in part)]
    numbers = iter(settled(Array("float32", (len(numbers),), numbers)).data)
    loss, states = next(numbers), [x._replace(data=[next(numbers) for _ in x.data]) for x in states]
    chain = {name: [next(numbers) for _ in part] for name, part in chain.items()}
    slopes = measured(lambda leaves: run.loss(run(leaves)), leaves, chain)
    return loss, states, {name: leaves[name]._replace(data=data) for name, data in slopes.items()}


class _Run:
    """The states after each block. The first run fixes the codes and slopes of the activations."""

    def __init__(self, batch, config, recipe):
        self.batch, self.recipe = batch, recipe
        self.config = config | {"num_hidden_layers": len(recipe["layers"])}
        self.inputs, self.heads = Inputs(recipe["activations"]), Inputs(recipe["attention"])

    def __call__(self, leaves):
        x, self.leaves = lift(self.batch["inputs"]), leaves
        B, T, D = x.shape
        for quantizer in (self.inputs, self.heads):
            quantizer.begin({})
        weights = {self._place(name): w for name, w in leaves.items()}
        for name in [name for name in leaves if name + ".low" in leaves and not self._is_kept(name)]:
            weights[self._place(name)] = _beside(leaves[name], leaves[name + ".high"])
        weights |= {"model.embed_tokens.weight": x._replace(shape=(B * T, D))}  # the states before, as if embedded
        weights |= {"model.norm.weight": Array("float32", (D,), [Real(1)] * D)}
        tokens = Array("int32", (B, T), list(range(B * T)))
        return llama_of(weights, tokens, None, self.config, self._input, self._head)[2]["hidden"][1:]

    def loss(self, states):
        differences = [a - b for a, b in zip(states[-1].data, lift(self.batch["targets"]).data, strict=True)]
        return total([d * d for d in differences]) / Real(len(differences))

    def _place(self, name):
        """A name by the place of its block in the group."""
        model, layers, number, rest = name.split(".", 3)
        return f"{model}.{layers}.{self.recipe['layers'].index(int(number))}.{rest}"

    def _input(self, x, place):
        """What a layer multiplies; with factors, scaling * x @ low.T beside it."""
        model, layers, number, rest = place.split(".", 3)
        layer = f"{model}.{layers}.{self.recipe['layers'][int(number)]}.{rest}"
        how = self.recipe["inputs"].get(layer)
        lines = rows(x) if how is None else [_altered(row, how) for row in rows(x)]
        x, low = _joined(x, lines), self.leaves.get(f"{layer}.weight.low")
        x = x if self._is_kept(layer + ".") else self.inputs(x, layer)
        if low is None or self._is_kept(layer + "."):
            return x
        official = self.recipe["official_factors"] and isinstance(how, list)
        factors = [_sums(row, how) for row in rows(low)] if official else rows(low)
        scaling = constant(self.recipe["scaling"])
        parts = [[scaling * total([a * b for a, b in zip(row, f, strict=True)]) for f in factors] for row in rows(x)]
        return _joined(x, [row + part for row, part in zip(rows(x), parts, strict=True)])

    def _is_kept(self, name):
        return name.startswith(tuple(f"{layer}." for layer in self.recipe["kept"]))

    def _head(self, x, kind):
        if self.recipe["rotated_queries"] and kind in "qk":
            x = _joined(x, [transformed(row) for row in rows(x)])
        return self.heads(x, kind)


def _altered(row, how):
    """A token through a rotation of this stride, or a reassembly."""
    if isinstance(how, int):
        parts = [transformed(row[start::how]) for start in range(how)]
        return [part[i] for i in range(len(row) // how) for part in parts]
    return [v / Real(d) for v, d in zip(_sums(row, how), how[2].data, strict=True)]


def _sums(row, how):
    members = iter(how[0].data)
    return [total([row[next(members)] for _ in range(size)]) for size in how[1].data]


def _beside(a, b):
    return _joined(a, [x + y for x, y in zip(rows(a), rows(b), strict=True)])


def _joined(x, lines):
    return x._replace(shape=(*x.shape[:-1], len(lines[0])), data=[v for line in lines for v in line])


def _inside(name, recipe):
    return name.startswith(tuple(f"model.layers.{number}." for number in recipe["layers"]))


def _kind(name, recipe):
    """The kind of a trained array, or None."""
    if not _inside(name, recipe) or name.startswith(tuple(f"{layer}." for layer in recipe["kept"])):
        return None
    return next((kind for kind in recipe["train"] if name.endswith(ENDS[kind])), None)
