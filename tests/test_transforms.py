"""Is the model still the same? Every exact rewrite on a seeded LLaMA of three layers, in float64, both engines."""

import functools

import numpy as np
import pytest

import refq
from refq import tape
from refq.jobs.model import load_model
from refq.ops.namespace import Replaced
from refq.training.activations import QuantizedInput, quantized_inputs
from refq.transforms.inputs import ReassembledInput, RotatedInput, rotated_queries, transformed_inputs
from refq.transforms.outliers import inject_outliers
from refq.transforms.sites import fold_site, sites
from tests.laws.models import seeded_model, wide
from tests.support import both

SHAPES = {"layers": 3, "K": 2, "R": 2, "d": 8, "D": 24, "F": 44, "V": 97}
TOKENS = np.random.default_rng(5).integers(0, 97, (2, 12))
PLACES = {  # of the reassemblies: layers that share an input share its reassembly
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
    "hidden": ("mlp.down_proj",),
}


@functools.cache
def model(tied=True, biases="qkvom"):
    """(params, config, logits) in float64."""
    params, config = seeded_model(3, tied=tied, biases=biases, **SHAPES)
    params = wide(params)
    return params, config, refq.llama_forward(params, TOKENS, config)


def maxima(params, layers, seed):
    """Largest sizes of channels as a calibration would give them, and those of the weights."""
    x = np.abs(np.random.default_rng(seed).standard_normal(params[f"{layers[0]}.weight"].shape[1])) * 10
    return x, np.max([np.abs(params[f"{name}.weight"]).max(axis=0) for name in layers], axis=0)


def smooth(params, config):
    for seed, (previous, following) in enumerate(sites(config)):
        scale = refq.smooth_scale(*maxima(params, following, seed), alpha=0.7)
        params = fold_site(params, previous, following, scale)
    return params


def suppress(params, config):
    for seed, (previous, following) in enumerate(sites(config)):
        x, _ = maxima(params, following, seed)
        params = fold_site(params, previous, following, refq.os_scale(-x, x / 2, refq.os_thresholds(x)[60]))
    return params


def awq(params, config):
    for seed, (previous, following) in enumerate(sites(config)):
        params = fold_site(params, previous, following, refq.awq_scale(maxima(params, following, seed)[0], 0.6))
    return params


def outliers(params, config):
    return inject_outliers(params, config, [3, 17, 8], [40, 25, 7.5], hidden=[2, 30])


def signs(params):
    return np.random.default_rng(9).choice([-1.0, 1.0], params["model.norm.weight"].size)


def rotate(params, config, online=False):
    return refq.rotate(params, config, signs(params), online)


def disassemble(params, config):
    params = dict(params)
    for layer in range(config["num_hidden_layers"]):
        for seed, readers in enumerate(PLACES.values()):
            layers = [f"model.layers.{layer}.{name}" for name in readers]
            x, _ = maxima(params, layers, 10 * layer + seed)
            counts = refq.channel_splits(x, float(x.max() / 3.5))
            form = refq.assemble(counts, np.arange(counts.sum()))
            for name in layers:
                weight = refq.reassemble_weight(params[f"{name}.weight"], form)
                params[f"{name}.weight"] = ReassembledInput(weight, form)
    return params


def disassemble_into_up(params, config):
    """The hidden channels split without an operation at run time: up_proj divides, gate_proj repeats."""
    params = dict(params)
    for previous, [following] in sites(config, ["mlp.up_proj"]):
        x, _ = maxima(params, [following], 4)
        counts = refq.channel_splits(x, float(x.max() / 2.5))
        form = refq.assemble(counts, np.arange(counts.sum()))
        for part in ("weight", "bias"):
            name, gate = f"{previous}.{part}", f"{previous}.{part}".replace("up_proj", "gate_proj")
            if name in params:
                params[name] = refq.reassemble_input(params[name].T, form).T
                params[gate] = params[gate][form.members]
        params[f"{following}.weight"] = refq.reassemble_weight(params[f"{following}.weight"], form)
    return params


REWRITES = {
    "SmoothQuant": smooth,
    "Outlier Suppression+": suppress,
    "AWQ": awq,
    "outliers": outliers,
    "norms fused": refq.fuse_norms,
    "rotation": rotate,
    "rotation online": functools.partial(rotate, online=True),
    "disassembly": disassemble,
    "disassembly without an operation": disassemble_into_up,
    "outliers, smoothed, rotated": lambda params, config: rotate(
        smooth(outliers(params, config), config), config, True
    ),
    "outliers, disassembled": lambda params, config: disassemble(outliers(params, config), config),
}


@both
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", REWRITES)
def test_logits_stay(engine, name, tied):
    params, config, logits = model(tied)
    rewritten = REWRITES[name](params, config)
    assert any(rewritten[key] is not params.get(key) for key in rewritten)
    found = engine.llama_forward(rewritten, TOKENS, config, rotated_queries(transformed_inputs(engine)))
    assert np.abs(found - logits).max() <= 1e-10 * np.abs(logits).max()


@both
@pytest.mark.parametrize("name", ["rotation online", "disassembly"])
def test_gradients_stay(engine, name):
    params, config, _ = model(tied=False)
    name, rewrite = "model.layers.0.self_attn.q_proj.bias", REWRITES[name]  # no rewrite touches it
    seed = np.random.default_rng(1).standard_normal((2, 12, 97))
    found = []
    for weights in (params, rewrite(params, config)):
        bias = tape.Tensor(params[name])
        ops = transformed_inputs(tape.lift(engine))
        logits = refq.llama_forward(weights | {name: bias}, TOKENS, config, ops)
        found += tape.backward([(logits, seed)], [bias])
    assert np.abs(found[0]).max() > 1
    np.testing.assert_allclose(found[1], found[0], atol=1e-10 * np.abs(found[0]).max())


def test_powers_of_two_change_no_bit():
    params, config = seeded_model(3, **SHAPES)
    injected = inject_outliers(params, config, [3, 17], [64, 32], hidden=[5])
    found = refq.llama_forward(injected, TOKENS, config)
    np.testing.assert_array_equal(found, refq.llama_forward(params, TOKENS, config))
    gains = injected["model.layers.1.input_layernorm.weight"] / params["model.layers.1.input_layernorm.weight"]
    np.testing.assert_array_equal(np.flatnonzero(gains != 1), [3, 17])


def test_a_wrong_rewrite_is_noticed():
    params, config, logits = model()
    for broken in (
        {name: w * 2 if name.endswith("1.input_layernorm.weight") else w for name, w in smooth(params, config).items()},
        rotate(params | {"model.norm.weight": np.ones(24)}, config),
        {name: getattr(w, "weight", w) for name, w in rotate(params, config, online=True).items()},
    ):
        found = refq.llama_forward(broken, TOKENS, config)
        assert np.abs(found - logits).max() > 1e-3 * np.abs(logits).max()


def test_a_rotation_spreads_outliers():
    """One hot channel becomes flat; a quantizer that shares a step a token then loses far less."""
    x = np.random.default_rng(2).standard_normal((64, 288))
    x[:, 7] *= 60
    loss = [
        np.mean((refq.dynamic_fake_quantize(y, 4) - y) ** 2) / np.mean(y**2) for y in (x, refq.hadamard_transform(x))
    ]
    assert loss[1] < 0.5 * loss[0]
    flat = refq.hadamard_transform(np.eye(288)[:1])
    np.testing.assert_allclose(np.abs(flat), 288**-0.5, rtol=1e-12)


def on_grids(params, bits):
    """The projections with a grid a token for their input, which lies on the transformed one."""
    found = dict(params)
    for name, weight in params.items():
        if name.endswith("_proj.weight"):
            transformed = isinstance(weight, (ReassembledInput, RotatedInput))
            inner = QuantizedInput(weight.weight if transformed else weight, bits)
            found[name] = weight._replace(weight=inner) if transformed else inner
    return found


@both
def test_grids_meet_the_transformed_input(engine):
    """Outliers take the room of a grid a token; each transform gives most of it back."""
    params, config, logits = model()
    injected = inject_outliers(params, config, [3, 17], [64, 32], hidden=[5])
    ops, errors = transformed_inputs(quantized_inputs(engine)), {}
    for name, rewrite in {
        "plain": lambda params, config: params,
        "inverse": lambda params, config: inject_outliers(params, config, [3, 17], [1 / 64, 1 / 32], hidden=[5]),
        "rotation": functools.partial(rotate, online=True),
        "disassembly": disassemble_outliers,
    }.items():
        found = engine.llama_forward(on_grids(rewrite(injected, config), 6), TOKENS, config, ops)
        errors[name] = np.sqrt(np.mean((found - logits) ** 2) / np.mean(logits**2))
    assert max(errors["inverse"], errors["rotation"], errors["disassembly"]) < 0.4 * errors["plain"], errors


def disassemble_outliers(params, config):
    """Channels split by what the model itself sees."""
    seen, names = {}, {id(w): name for name, w in params.items() if name.endswith("_proj.weight")}

    def linear(x, weight, bias=None):
        if id(weight) in names:
            seen[names[id(weight)]] = np.abs(x).reshape(-1, x.shape[-1]).max(axis=0)
        return refq.linear(x, weight, bias)

    refq.llama_forward(params, TOKENS, config, Replaced(refq, linear=linear))
    split = dict(params)
    for name, maximum in seen.items():
        if not name.endswith("o_proj.weight"):
            counts = refq.channel_splits(maximum, float(np.quantile(maximum, 0.8)))
            form = refq.assemble(counts, np.arange(counts.sum()))
            split[name] = ReassembledInput(refq.reassemble_weight(params[name], form), form)
    return split


def test_layers_that_share_an_input_share_its_transform():
    params, config, _ = model()
    calls = []
    ops = Replaced(refq, reassemble_input=lambda x, how: calls.append(1) or refq.reassemble_input(x, how))
    refq.llama_forward(disassemble(params, config), TOKENS, config, transformed_inputs(ops))
    assert len(calls) == 3 * config["num_hidden_layers"]


def test_a_real_model_stays(data):
    """172 hidden channels: Williamson's array."""
    config, params = load_model(data / "models" / "stories260K", refq)
    params, tokens = wide(params), np.random.default_rng(4).integers(0, config["vocab_size"], (2, 32))
    logits = refq.llama_forward(params, tokens, config)
    injected = inject_outliers(params, config, [3, 17, 40], [40, 25, 8], hidden=[5, 100])
    for rewrite in (smooth, functools.partial(rotate, online=True), disassemble, disassemble_into_up):
        found = refq.llama_forward(rewrite(injected, config), tokens, config, transformed_inputs(refq))
        assert np.abs(found - logits).max() <= 1e-10 * np.abs(logits).max()
