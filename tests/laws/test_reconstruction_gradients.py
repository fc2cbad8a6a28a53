"""Laws of reconstruction_gradients."""

import numpy as np
from hypothesis import given

import refq
from refq.ops.namespace import Replaced
from refq.training import blocks, reconstruction
from refq.training.low_rank import CorrectedWeight, corrected_outputs
from refq.training.reconstruction_recipe import complete
from tests.laws.groups import group_arguments as arguments
from tests.laws.groups import outputs, seeded_group, seeded_states, trainable, wider
from tests.laws.students import nested_bound, noise, with_operations, with_part, with_settings
from tests.support import both

__all__ = ["arguments"]


def edges():
    """A group and a batch of many tiles."""
    params, config, _ = seeded_group(9, (0,), D=64, F=96, d=16, K=2)
    recipe = {"train": ["low_rank", "clipping", "norms", "weights"], "group_size": 32}
    params = trainable(9, params, complete(recipe))
    yield {"params": params, "batch": seeded_states(9, 64, 3, 33), "config": config, "recipe": recipe}


def bound(arguments, expected):
    """Errors of gradients: a thousand roundings of the largest one."""
    return nested_bound(expected, refq.reconstruction_gradients(**wider(arguments)), noise(expected[1]))


@both
@given(arguments())
def test_the_teacher_has_no_error(engine, arguments):
    """In float64, where no order of sums shows."""
    arguments = wider(arguments)
    arguments["recipe"] |= {"train": ["norms", "weights"], "bits": None, "symmetric": False}
    params = {n: w for n, w in arguments["params"].items() if not n.endswith((".low", ".high", ".gamma", ".beta"))}
    weights = blocks.block_weights(params, complete(arguments["recipe"]), engine)[0]
    x = arguments["batch"]["inputs"]
    batch = {"inputs": x, "targets": outputs(weights, x, arguments["config"], arguments["recipe"], engine)}
    report, gradients = engine.reconstruction_gradients(**(arguments | {"params": params, "batch": batch}))
    assert report["loss"] <= 1e-28
    assert all(np.abs(g).max() <= 1e-13 for g in gradients.values())


@both
@given(arguments())
def test_what_is_quantized_is_what_is_stored(engine, arguments):
    """Where nothing is merged, and but for the step of a clipped grid, which is rounded to float16."""
    params = {n: w for n, w in arguments["params"].items() if not n.endswith((".low", ".high"))}
    recipe = complete(arguments["recipe"] | {"train": ["weights"]})
    report, _ = engine.reconstruction_gradients(params, arguments["batch"], arguments["config"], recipe)
    plain, grids = blocks.merged(params, recipe, engine)
    layers = set(blocks.linear_layers(params, recipe)) - set(recipe["kept"])
    assert set(grids) == (set() if recipe["bits"] is None else layers)
    for layer, (scale, zero_point) in grids.items():
        name, qmax = f"{layer}.weight", 2 ** recipe["bits"] - 1
        groups = refq.to_groups(plain[name], recipe["group_sizes"].get(layer, recipe["group_size"]))
        assert (scale == refq.float16_scale(scale)).all()
        assert zero_point.min() >= 0
        assert zero_point.max() <= qmax
        found = refq.fake_quantize(groups, scale, zero_point, 0, qmax).reshape(plain[name].shape)
        if name + ".gamma" in params:
            continue
        np.testing.assert_array_equal(report["weights"][name], found)


@both
@given(arguments())
def test_merged_factors_give_the_same_loss(engine, arguments):
    arguments = wider(arguments)
    recipe = arguments["recipe"] | {"train": ["norms"], "bits": None, "symmetric": False}
    found = engine.reconstruction_gradients(**(arguments | {"recipe": recipe}))[0]
    params = blocks.merged(arguments["params"], complete(recipe), engine)[0]
    again = engine.reconstruction_gradients(**(arguments | {"recipe": recipe, "params": params}))[0]
    np.testing.assert_allclose(again["states"], found["states"], rtol=1e-9, atol=1e-9)


@both
@given(arguments())
def test_without_high_low_has_no_gradient(engine, arguments):
    params = {n: w * 0 if n.endswith(".high") else w for n, w in arguments["params"].items()}
    _, gradients = engine.reconstruction_gradients(**(arguments | {"params": params}))
    assert not any(g.any() for name, g in gradients.items() if name.endswith(".low"))


@both
@given(arguments())
def test_what_is_trained_has_a_gradient(engine, arguments):
    report, gradients = engine.reconstruction_gradients(**arguments)
    ends = tuple(end for kind in arguments["recipe"]["train"] for end in blocks.KINDS[kind])
    inside = tuple(f"model.layers.{n}." for n in arguments["recipe"]["layers"])
    kept = tuple(f"{layer}." for layer in arguments["recipe"]["kept"])
    names = {n for n in arguments["params"] if n.endswith(ends) and n.startswith(inside) and not n.startswith(kept)}
    assert set(gradients) == names
    assert all(g.shape == arguments["params"][name].shape for name, g in gradients.items())
    assert len(report["states"]) == len(arguments["recipe"]["layers"])


def _always(**settings):
    return with_settings("reconstruction_gradients", lambda recipe: settings)


def _part(module, name, wrong):
    return with_part("reconstruction_gradients", module, name, wrong)


def _lwc(change):
    """lwc and its gradients with other arguments."""

    def vjp(g, groups, gamma, beta, bits):
        found = refq.lwc_vjp(g, groups, *change(gamma, beta), bits)
        return found[0], *change(*found[1:])

    return {"lwc": lambda groups, gamma, beta, bits: refq.lwc(groups, *change(gamma, beta), bits), "lwc_vjp": vjp}


def _page(page, swapped=lambda weight: weight):
    """Another namespace, a function of the engine and the recipe, and weights that are nested in another way."""

    def run_blocks(weights, x, config, recipe, ops):
        weights, states = {name: swapped(w) for name, w in weights.items()}, [x]
        for layer in recipe["layers"]:
            states.append(blocks.llama_block(weights, states[-1], layer, config, page(ops, recipe)))
        return states[1:]

    return _part(reconstruction, "run_blocks", run_blocks)


def _linears(ops):
    return blocks.transformed_inputs(blocks.quantized_inputs(corrected_outputs(ops)))


def _values_as_they_are(ops, recipe):
    def causal_attention(q, k, v):
        q, k = (ops.dynamic_fake_quantize(x, recipe["attention"]) for x in (q, k))
        return ops.causal_attention(q, k, v)

    inner = Replaced(ops, causal_attention=causal_attention) if recipe["attention"] else ops
    return _linears(blocks.rotated_queries(inner) if recipe["rotated_queries"] else inner)


def _rotated_last(ops, recipe):
    ops = blocks.rotated_queries(ops) if recipe["rotated_queries"] else ops
    return _linears(blocks.quantized_attention(ops, recipe["attention"]))


def _corrected_first(ops, recipe):
    ops = blocks.quantized_attention(ops, recipe["attention"])
    ops = blocks.rotated_queries(ops) if recipe["rotated_queries"] else ops
    return blocks.transformed_inputs(corrected_outputs(blocks.quantized_inputs(ops)))


def _grid_inside(weight):
    """The correction sees the input before its grid."""
    if isinstance(weight, (blocks.ReassembledInput, blocks.RotatedInput)):
        return weight._replace(weight=_grid_inside(weight.weight))
    if isinstance(weight, blocks.QuantizedInput) and isinstance(weight.weight, CorrectedWeight):
        return weight.weight._replace(weight=weight._replace(weight=weight.weight.weight))
    return weight


def _all_trained(params, recipe):
    return blocks.trained(params, recipe | {"kept": []})


OPERATIONS = {
    "steps of float32": {"minmax": lambda groups, qmin, qmax, symmetric, _: refq.minmax(groups, qmin, qmax, symmetric)},
    "logits the wrong way round": _lwc(lambda gamma, beta: (beta, gamma)),
    "weights are constants": {"fake_quantize_vjp": lambda g, *_: 0 * g},
    "logits of OmniQuant's start": {"lwc": lambda g, a, b, bits: refq.lwc(g, a * 0 + 4, b * 0 + 4, bits)},
    "weights without their mask": {"lwc_vjp": lambda g, *rest: (g, *refq.lwc_vjp(g, *rest)[1:])},
    "symmetric activations": {"dynamic_fake_quantize": lambda x, bits: refq.dynamic_fake_quantize(x, bits, True)},
    "a sum over the channels": {
        "squared_error": lambda x, y: refq.squared_error(x, y) * np.float32(x.shape[-1]),
        "squared_error_vjp": lambda g, x, y: refq.squared_error_vjp(g * np.float32(x.shape[-1]), x, y),
    },
    "half the gradient": {"squared_error_vjp": lambda g, x, y: refq.squared_error_vjp(g / 2, x, y)},
}
WRONG = {name: with_operations("reconstruction_gradients", **wrong) for name, wrong in OPERATIONS.items()} | {
    "no scaling": _always(scaling=1.0),
    "inputs as they are": _always(activations=None),
    "queries, keys and values as they are": _always(attention=None),
    "queries are not rotated": _always(rotated_queries=False),
    "inputs are neither reassembled nor rotated": _always(inputs={}),
    "factors are not reassembled": _part(
        blocks, "factors", lambda layer, params, *_: (params[f"{layer}.weight.low"], params[f"{layer}.weight.high"])
    ),
    "always asymmetric": _always(symmetric=False),
    "one grid a row": _always(group_size=None),
    "one group size for all": _always(group_sizes={}),
    "nothing is kept": _always(kept=[]),
    "kept layers are trained": _part(reconstruction, "trained", _all_trained),
    "always quantized": with_settings("reconstruction_gradients", lambda recipe: {"bits": recipe.get("bits", 4) or 4}),
    "never quantized": _always(bits=None),
    "no correction": _part(blocks, "LOW", ".none"),
    "values as they are": _page(_values_as_they_are),
    "rotated after the grid": _page(_rotated_last),
    "the correction of inputs on no grid": _page(_corrected_first, _grid_inside),
    "logits forgotten": _part(blocks, "GAMMA", ".none"),
}
