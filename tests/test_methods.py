"""What the methods of refq quantize do to a model, block by block: what is evaluated is what is stored."""

import numpy as np
import pytest

import refq
import refq_fast
from refq.files.checkpoint import open_checkpoint
from refq.jobs.calibrated import plan_calibrated, quantize_calibrated
from refq.jobs.methods.block import Block, Data, Settings, advance, fitted, observed, transformed
from refq.jobs.methods.rounding import rtn
from refq.jobs.model import load_model
from refq.jobs.perplexity import perplexity
from refq.jobs.plan import Options
from refq.ops.namespace import Replaced
from tests.app.commands import decoded
from tests.app.solved import BIASES, calibration, logits_after, logits_of, solve, steps, write_model

ENGINES = [refq, refq_fast]
ASYMMETRIC = Options(4, 8, symmetric=False)
SINGLE = {
    "rtn": ("rtn",),
    "gptq": ("gptq",),
    "awq": ("awq",),
    "smoothquant": ("smoothquant",),
    "os+": ("os+",),
    "lwc": ("lwc",),
    "rotation": ("rotation",),
    "qllm": ("reassembly", "correction"),
}
COMPOSED = {
    "smoothquant+gptq": ("smoothquant", "gptq"),
    "rotation+gptq": ("rotation", "gptq"),
    "awq+gptq": ("awq", "gptq"),
    "os+,correction": ("os+", "correction"),
    "reassembly+tuning+gptq": ("reassembly", "tuning", "gptq"),
    "lwc+gptq": ("lwc", "gptq"),
    "rotation+reassembly+lwc": ("rotation", "reassembly", "lwc"),
    "smoothquant+os++awq+reassembly": ("smoothquant", "os+", "awq", "reassembly"),
}
FEW = {"epochs": 2, "points": 12, "ratios": 5, "blocks": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def biased(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("biased") / "model", **BIASES)


def check_stored(seen, out, engine, activations):
    """The file has the very weights of the blocks, and gives what their chain gave."""
    stored = dict(decoded(out))
    assert len(stored) == 21
    check_chain(seen, out, engine, activations)
    for block in seen.blocks:
        for layer in block.grids:
            np.testing.assert_array_equal(stored[layer], block.weight(layer), err_msg=layer)


def check_chain(seen, out, engine, activations):
    """The file gives what the chain of quantized blocks gave."""
    expected = logits_after(out, seen.low, engine)
    found = logits_of(out, seen.tokens, engine)
    far = np.abs(found - logits_after(out, seen.full, engine)).max()
    # a rounding error can move an input to the next number of its grid; then it is felt
    allowed = 1e-4 if activations is None else 0.1
    assert np.abs(found - expected).max() <= allowed * far


@pytest.mark.parametrize("activations", [None, 8])
@pytest.mark.parametrize("engine", ENGINES, ids=["refq", "refq_fast"])
@pytest.mark.parametrize("methods", (SINGLE | COMPOSED).values(), ids=SINGLE | COMPOSED)
def test_what_is_evaluated_is_what_is_stored(methods, engine, activations, biased, tmp_path, monkeypatch):
    text = () if methods not in (("rtn",), ("rotation",)) else ("smoothquant",)  # else no chain moves
    order = [*methods[: methods[0] == "rotation"], *text, *methods[methods[0] == "rotation" :]]
    asked = calibration(*order, activations=activations, **FEW)
    seen = solve(monkeypatch, biased, tmp_path / "out", asked, ASYMMETRIC, engine)
    check_stored(seen, tmp_path / "out", engine, activations)


@pytest.mark.parametrize("methods", [("rtn",), ("rotation", "gptq"), ("smoothquant", "reassembly", "gptq")])
def test_static_grids_of_inputs_are_those_of_what_reaches_them(methods, biased, tmp_path, monkeypatch):
    asked = calibration(*methods, activations=8, activation_range="tensor", **FEW)
    seen = solve(monkeypatch, biased, tmp_path / "out", asked, ASYMMETRIC)
    check_stored(seen, tmp_path / "out", refq_fast, 8)
    config, params = load_model(tmp_path / "out", refq, activations=False)
    x = refq.embed(seen.tokens, params["model.embed_tokens.weight"])
    x = refq.rms_norm(x, params["model.layers.0.input_layernorm.weight"], config["rms_norm_eps"])
    layer = "model.layers.0.self_attn.q_proj"
    scale, zero_point = seen.blocks[0].input_grids[layer]
    x = transformed(x, seen.blocks[0].inputs.get(layer), refq)
    ends, reached = (np.array([-128, 127]) - zero_point) * scale, np.array([min(x.min(), 0), max(x.max(), 0)])
    assert np.abs(ends - reached).max() <= scale


KEPT = {
    "readers of one norm": ("*.q_proj", "*.up_proj"),
    "rotated inputs": ("*.o_proj",),
    "a whole block": ("model.layers.1.*",),
    "all that reads the mlp": ("*.down_proj",),
}


@pytest.mark.parametrize("methods", [("rotation", "reassembly", "lwc"), ("awq", "reassembly", "correction", "gptq")])
@pytest.mark.parametrize("keep", KEPT.values(), ids=KEPT)
def test_kept_layers_are_floats_whose_inputs_nothing_alters(keep, methods, biased, tmp_path, monkeypatch):
    options = ASYMMETRIC._replace(keep=keep)
    seen = solve(monkeypatch, biased, tmp_path / "out", calibration(*methods, activations=8, **FEW), options)
    check_chain(seen, tmp_path / "out", refq_fast, 8)
    assert not any(set(block.inputs) - set(block.grids) for block in seen.blocks)


@pytest.mark.parametrize("methods", [("lwc",), ("reassembly", "correction"), ("awq", "gptq")])
def test_layers_that_the_group_size_does_not_divide(methods, biased, tmp_path, monkeypatch):
    options = Options(4, 32, symmetric=False, fallback="channel")  # 48 inputs of down_proj
    seen = solve(monkeypatch, biased, tmp_path / "out", calibration(*methods, **FEW), options)
    check_stored(seen, tmp_path / "out", refq_fast, None)
    assert open_checkpoint(tmp_path / "out").schemes["model.layers.0.mlp.down_proj"].strategy == "channel"


@pytest.mark.parametrize("group_size", ["channel", "tensor"])
@pytest.mark.parametrize("static", [True, False])
def test_gptq_on_every_granularity(group_size, static, model, tmp_path, monkeypatch):
    asked = calibration("gptq", act_order=True, static_groups=static)
    seen = solve(monkeypatch, model, tmp_path / "out", asked, Options(3, group_size, False))
    check_stored(seen, tmp_path / "out", refq_fast, None)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("methods", [("gptq",), ("rotation", "gptq"), ("awq",)])
def test_models_of_many_files_tied_and_in_half_precision(methods, dtype, tmp_path, monkeypatch):
    import ml_dtypes

    dtype = np.float16 if dtype == "float16" else ml_dtypes.bfloat16
    folder = write_model(tmp_path / "model", shards=3, dtype=dtype, tie_word_embeddings=True)
    seen = solve(monkeypatch, folder, tmp_path / "out", calibration(*methods, online=False, **FEW))
    check_stored(seen, tmp_path / "out", refq_fast, None)
    found, rotated = open_checkpoint(tmp_path / "out"), "rotation" in methods
    assert len(found.files) == 3
    assert found.config["tie_word_embeddings"] == (not rotated)
    for name in ("model.embed_tokens.weight", "model.norm.weight"):  # what stays as it was keeps its dtype
        assert found.read(name).dtype == (np.float32 if rotated else dtype)


@pytest.mark.parametrize("methods", [("rtn",), ("rotation",)])
def test_methods_that_look_at_no_text_give_what_the_same_with_one_gives(methods, model, tmp_path, monkeypatch):
    solve(monkeypatch, model, tmp_path / "blind", calibration(*methods, activations=8))
    # with a threshold that suppresses nothing the text changes nothing
    also = [method for method in methods if method != "rtn"]
    solve(monkeypatch, model, tmp_path / "seeing", calibration(*also, "os+", activations=8, floor=1e6))
    for (layer, blind), (_, seeing) in zip(decoded(tmp_path / "blind"), decoded(tmp_path / "seeing"), strict=True):
        np.testing.assert_array_equal(blind, seeing, err_msg=layer)


NOTHING = {"awq": {"ratios": 1, "clip": False}, "os+": {"floor": 1e6}, "reassembly": {"search": "fixed", "ratio": 1e-6}}
NOTHING |= {"correction": {"learning_rate": 1e-18}}


@pytest.mark.parametrize("method", NOTHING)
def test_methods_told_to_do_nothing_are_rtn(method, biased, tmp_path, monkeypatch):
    solve(monkeypatch, biased, tmp_path / "rtn", calibration("rtn"))
    solve(monkeypatch, biased, tmp_path / "out", calibration(method, **FEW | NOTHING[method]))
    for (layer, expected), (_, w) in zip(decoded(tmp_path / "rtn"), decoded(tmp_path / "out"), strict=True):
        np.testing.assert_array_equal(w, expected, err_msg=layer)


def far(seen):
    """How far the last hidden states are from those of full precision."""
    return np.square(seen.low - seen.full).sum() / np.square(seen.full).sum()


BETTER = {
    "gptq": {},
    "awq": {},
    "lwc": {"epochs": 10},
    "correction": {"epochs": 10},
    "tuning": {"epochs": 10, "learning_rate": 1e-3},
}


@pytest.mark.parametrize("method", BETTER)
def test_methods_that_solve_are_nearer_to_full_precision_than_rtn(method, model, tmp_path, monkeypatch):
    options = Options(3, "channel", symmetric=False)
    rtn = solve(monkeypatch, model, tmp_path / "rtn", calibration("os+", floor=1e6, sequences=8), options)
    found = solve(monkeypatch, model, tmp_path / "out", calibration(method, sequences=8, **BETTER[method]), options)
    assert far(found) < 0.95 * far(rtn)


@pytest.mark.parametrize("name", ["model", "biased"])
def test_the_extras_of_the_official_program_are_trained_where_they_are(name, request, tmp_path, monkeypatch):
    asked = calibration("correction", official_extras=True, activations=8, **FEW)
    seen = solve(monkeypatch, request.getfixturevalue(name), tmp_path / "out", asked)
    check_stored(seen, tmp_path / "out", refq_fast, 8)
    before, after = (open_checkpoint(folder) for folder in (request.getfixturevalue(name), tmp_path / "out"))
    for end in ("input_layernorm.weight", *["mlp.up_proj.bias"] * (name == "biased")):
        assert (before.read(f"model.layers.1.{end}") != after.read(f"model.layers.1.{end}")).any()


def test_gptq_on_a_real_model(data, tmp_path):
    """Three bits a weight of stories260K: what rounding loses, GPTQ has back in part."""
    folder, text = data / "models/stories260K", data / "text/tinystories/valid.txt"
    options, found = Options(3, 4), {"float": folder}
    for method in ("rtn", "gptq"):
        found[method] = tmp_path / method
        asked = calibration(method, sequences=16, context=128)
        quantize_calibrated(folder, found[method], refq_fast, options, asked, None if method == "rtn" else text)
    real, rtn, gptq = (perplexity(path, text, refq_fast, 256, 20_000)["perplexity"] for path in found.values())
    assert real < gptq < rtn
    assert gptq - real < 0.8 * (rtn - real)


def test_reassembly_helps_where_channels_have_outliers(model, tmp_path, monkeypatch):
    rtn = solve(monkeypatch, model, tmp_path / "rtn", calibration("os+", floor=1e6, activations=4))
    found = solve(monkeypatch, model, tmp_path / "out", calibration("reassembly", activations=4))
    assert far(found) < 0.95 * far(rtn)


@pytest.fixture
def block(biased):
    """(the first block, Data before it, Settings) as a step is given them."""
    checkpoint = open_checkpoint(biased)
    schemes, _ = plan_calibrated(checkpoint, Options(4, "channel", False), calibration("rtn"))
    settings = Settings(refq_fast, checkpoint.config, schemes, "minmax", None)
    params = {n: checkpoint.read(n) for n in checkpoint.tensors if n.startswith("model.layers.0.")}
    full = np.random.default_rng(3).standard_normal((4, 24, 32)).astype(np.float32)
    return Block(0, params), Data(full, full + np.float32(0.1)), settings


def after(block, states, settings):
    states = states.copy()
    advance(states, block, settings, low=False)
    return states


EXACT = {"smoothquant": {}, "os+": {}, "awq": {"clip": False}, "reassembly": {"assembly": "none"}}


@pytest.mark.parametrize("method", EXACT)
def test_exact_transforms_leave_the_float_block_as_it_was(method, block):
    before, data, settings = block
    [step, _] = steps(method, **EXACT[method])
    found = step.function(before, data, settings._replace(activations=4), step.how)
    if method == "reassembly":
        assert any(form.divisors.max() > 1 for form in found.inputs.values())
    else:
        assert (
            np.abs(
                found.weight("model.layers.0.self_attn.q_proj") - before.weight("model.layers.0.self_attn.q_proj")
            ).max()
            > 0.1
        )
    expected = after(before, data.full, settings)
    np.testing.assert_allclose(after(found, data.full, settings), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("online", [True, False])
def test_rotation_leaves_the_float_model_as_it_was(online, biased, tmp_path, monkeypatch):
    """Both chains without a grid: that of full precision, rotated, ends where the model does."""
    seen = solve(monkeypatch, biased, tmp_path / "out", calibration("rotation", "os+", online=online, activations=8))
    config, params = load_model(biased, refq_fast)
    expected = refq_fast.llama_forward(params, seen.tokens, config)
    found = logits_after(tmp_path / "out", seen.full)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def by_hand(kind, form, x):
    """The altered input, without the operation that makes it."""
    x = x.reshape(-1, x.shape[-1]).astype(np.float64)
    if kind == "reassembled":
        members, sizes, divisors = form
        parts = np.split(members, np.cumsum(sizes)[:-1])
        return np.stack([x[:, part].sum(axis=1) / d for part, d in zip(parts, divisors, strict=True)], axis=1)
    return x @ refq.hadamard(x.shape[1]).T / np.sqrt(x.shape[1])


@pytest.mark.parametrize("kind", ["plain", "dead", "reassembled", "rotated"])
def test_hessians_are_those_of_what_the_weight_meets(kind, block, monkeypatch):
    """Of down_proj, where the inputs are known without the block: swiglu of gate and up, which are put on no grid."""
    before, data, settings = block
    layer = "model.layers.0.mlp.down_proj"
    settings = settings._replace(schemes={layer: settings.schemes[layer]})
    form = refq.assemble(*_split(48)) if kind == "reassembled" else 1
    params = dict(before.params)
    if kind == "dead":
        params["model.layers.0.mlp.up_proj.weight"][5] = params["model.layers.0.mlp.up_proj.bias"][5] = 0
    if kind == "reassembled":
        params[f"{layer}.weight"] = refq.reassemble_weight(params[f"{layer}.weight"], form)
    inputs = {layer: form} if kind in ("reassembled", "rotated") else {}
    before = before._replace(params=params, inputs=inputs)
    [(_, x)] = observed(before, [layer], data.low, settings)
    x = x.reshape(-1, 48).astype(np.float64) if not inputs else by_hand(kind, form, x)
    expected, seen = 2 * x.T @ x / len(x), []

    def gptq(w, hessian, *rest):
        seen.append(hessian)
        return refq.gptq(w, hessian, *rest)

    [step] = steps("gptq")
    found = step.function(before, data, settings._replace(engine=Replaced(refq, gptq=gptq)), step.how)
    np.testing.assert_allclose(seen[0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    if kind == "dead":
        assert not expected[5].any()
        assert not found.weight(layer)[:, 5].any()
    rounded = rtn(before, data, settings, None)
    errors = [np.trace(d @ expected @ d.T) for d in (b.weight(layer) - before.weight(layer) for b in (found, rounded))]
    assert errors[0] < 0.9 * errors[1]


def _split(channels):
    """Two channels in two parts each, and two pairs of others merged."""
    counts = np.ones(channels, np.int32)
    counts[[4, 9]] = 2
    into = np.arange(channels + 2, dtype=np.int32)
    into[[20, 31]] = 12, 40
    return counts, into


@pytest.mark.parametrize("method", ["os+", "awq"])
def test_of_all_candidates_the_one_with_the_least_error_is_chosen(method, block):
    """For down_proj, whose output is written down here; candidates too."""
    before, data, settings = block
    layer, up = "model.layers.0.mlp.down_proj", "model.layers.0.mlp.up_proj"
    settings = settings._replace(schemes={layer: settings.schemes[layer]})
    x = np.concatenate([x for _, x in observed(before, [layer], data.full, settings, low=False)]).reshape(-1, 48)
    some = x[:24]  # the search sees one sequence
    if method == "os+":
        scales = [refq.os_scale(x.min(axis=0), x.max(axis=0), t) for t in refq.os_thresholds(np.abs(x).max(axis=0))]
    else:
        scales = [
            refq.awq_scale(np.abs(x).mean(axis=0, dtype=np.float64).astype(np.float32), k / 20) for k in range(20)
        ]
    w, errors = before.weight(layer), []
    for scale in scales:
        w_hat, _ = fitted(w * scale, settings.schemes[layer], settings)
        errors.append(np.square(refq.linear(some / scale, w_hat) - refq.linear(some, w), dtype=np.float64).sum())
    best = scales[int(np.argmin(errors))]
    [step, _] = steps(method, **({"clip": False} if method == "awq" else {}))
    found = step.function(before, data, settings, step.how)
    np.testing.assert_array_equal(found.weight(layer), w * best)
    np.testing.assert_array_equal(found.weight(up), before.weight(up) / best[:, None])
    assert min(errors) < 0.99 * errors[0]


def test_candidates_that_no_grid_holds_are_left_out(block):
    before, data, settings = block
    layer = "model.layers.0.mlp.down_proj"
    large = before.with_weights({layer: before.weight(layer) * np.float32(1e5)})
    [step, _] = steps("os+", floor=1e-3)
    found = step.function(large, data, settings, step.how)
    assert np.isfinite(fitted(found.weight(layer), settings.schemes[layer], settings)[0]).all()
    with pytest.raises(refq.errors.GridError, match="float16"):
        step.function(large.with_weights({layer: large.weight(layer) * np.float32(1e5)}), data, settings, step.how)
