"""Norms of gradients and states at 50 digits."""

from tools.oracle.distilled import distilled
from tools.oracle.numbers import Array, Bounded, rows
from tools.oracle.reals import Real, bounded, sqrt, total
from tools.oracle.step import RECIPE
from tools.oracle.student import LAYERS, SCALE, ZERO_POINT


def signal_propagation(params, batch, config, recipe):
    recipe, layers = RECIPE | recipe, config["num_hidden_layers"]
    grids = {name + kind for name in recipe["frozen"] for kind in (SCALE, ZERO_POINT)}
    seen = {name: w for name, w in params.items() if name not in grids}  # what is frozen is used as it is
    found = distilled(seen, batch, config, recipe | {"frozen": [], "gradient_l1": 0})
    trained = {name: g for name, g in found.gradients.items() if name not in recipe["frozen"]}
    states = [_kept(x, batch["mask"]) for x in found.hidden[1:]]
    report = {
        "used": _numbers((layers, len(LAYERS)), _squares(found.used, layers)),
        "trained": _numbers((layers, len(LAYERS)), _squares(trained, layers)),
        "mean": _numbers((layers,), [_mean([r for row in x for r in row]) for x in states]),
        "norm": _numbers((layers,), [_mean([sqrt(total([r * r for r in row])) for row in x]) for x in states]),
        "loss": _numbers((), [found.losses["loss"]]),
    }
    return Bounded({n: r.value for n, r in report.items()}, {n: r.within for n, r in report.items()})


def _squares(gradients, layers):
    names = [f"model.layers.{layer}.{kind}.weight" for layer in range(layers) for kind in LAYERS.values()]
    return [total([r * r for r in gradients[name].data]) if name in gradients else Real(0) for name in names]


def _kept(x, mask):
    return [row for row, keep in zip(rows(x), mask.data, strict=True) if keep]


def _mean(reals):
    return total(reals) / Real(len(reals))


def _numbers(shape, reals):
    value, within = bounded(Array("float32", shape, reals))
    return Bounded(value._replace(dtype="float64"), within)
