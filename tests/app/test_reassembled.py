"""refq-reassembled from end to end: written, run by every verb, and equal to the same model put together by hand."""

import json
import math

import numpy as np
import pytest
from safetensors.numpy import load_file

import refq
from refq.jobs.inspect import inspect_model
from refq.jobs.model import load_model, operations
from refq.jobs.perplexity import perplexity
from refq.training.activations import QuantizedInput
from refq.transforms.inputs import MixedWeight, ReassembledInput, RotatedInput
from tests.app import altered
from tests.app.commands import decoded, digests
from tests.app.commands import refq as run
from tests.app.tiny import TEXT
from tests.support import both

TOKENS = np.random.default_rng(3).integers(0, 256, (2, 24))
FIRST, SECOND = "model.layers.0", "model.layers.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("altered")
    altered.write_altered(folder)
    return folder


@both
def test_both_engines_write_the_same_bytes(engine, folder, tmp_path):
    altered.write_altered(tmp_path, engine)
    assert digests(tmp_path / "altered") == digests(folder / "altered")
    assert altered.FILE in digests(folder / "altered")
    assert "model.safetensors" not in digests(folder / "altered")


@both
@pytest.mark.parametrize("activations", [True, False])
def test_it_runs_as_by_hand(engine, folder, activations):
    config, params = load_model(folder / "altered", engine, activations)
    expected, ops = altered.by_hand(folder / "altered", engine, activations)
    logits = engine.llama_forward(expected, TOKENS, config, ops)
    np.testing.assert_array_equal(engine.llama_forward(params, TOKENS, config, operations(engine, config)), logits)
    _, floats = load_model(folder / "float", engine)
    far = engine.llama_forward(floats, TOKENS, config) - logits
    assert np.abs(far).max() > 1e-2


@both
@pytest.mark.parametrize("activations", [True, False])
def test_perplexity_is_that_of_the_model_by_hand(engine, folder, activations):
    found = perplexity(folder / "altered", TEXT, engine, 16, 128, activations="stored" if activations else "off")
    config, _ = load_model(folder / "altered", engine)
    params, ops = altered.by_hand(folder / "altered", engine, activations)
    windows = np.array([config["bos_token_id"], *TEXT.read_bytes()[:127]]).reshape(-1, 16)  # bytes are tokens
    logits = engine.llama_forward(params, windows[:, :-1], config, ops)
    nats = engine.cross_entropy(logits, windows[:, 1:]).mean(dtype=np.float64)
    assert found["perplexity"] == pytest.approx(math.exp(nats), rel=1e-6)


@both
def test_decoding_with_a_cache_equals_the_whole(engine, folder):
    """In float64, where no code of an input depends on the order of a sum; and no outliers, which a call decides."""
    config, _ = load_model(folder / "altered", engine)
    params, _ = altered.by_hand(folder / "altered", engine, dtype=np.float64)
    for name, weight in params.items():
        params[name] = weight._replace(threshold=1e9) if isinstance(weight, MixedWeight) else weight
    ops, cache, parts = operations(engine, config), None, []
    whole = engine.llama_forward(params, TOKENS, config, ops)
    for piece in np.split(TOKENS, [9, 10, 11, 20], axis=1):
        logits, cache = engine.llama_decode(params, piece, cache, config, ops)
        parts.append(logits)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-9)


@both
def test_layers_as_they_are_loaded(engine, folder):
    config, params = load_model(folder / "altered", engine)
    assert (config["attention_activations"], config["rotated_queries"]) == (4, True)
    q, k, v, gate = (
        params[f"{FIRST}.{name}.weight"]
        for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj")
    )
    assert isinstance(q, ReassembledInput)
    assert isinstance(q.weight, QuantizedInput)
    assert isinstance(q.weight.weight, engine.PackedWeight)
    assert q.weight.bits == 4
    assert q.reassembly is k.reassembly is v.reassembly is not gate.reassembly
    assert [len(part) for part in q.reassembly] == [67, 67, 67]
    assert [len(part) for part in gate.reassembly] == [67, 64, 64]
    for name, stride in (("self_attn.o_proj", 16), ("mlp.down_proj", 1)):
        weight = params[f"{SECOND}.{name}.weight"]
        assert isinstance(weight, RotatedInput)
        assert (weight.stride, weight.weight.bits) == (stride, 4)
    mixed = params[f"{SECOND}.mlp.up_proj.weight"]
    assert isinstance(mixed, MixedWeight)
    assert (mixed.q.dtype, mixed.scale.shape, mixed.threshold) == (np.int8, (160, 1), altered.THRESHOLD)
    assert np.abs(mixed.q).max(axis=1).tolist() == [127] * 160


@both
def test_transforms_stay_without_activations(engine, folder):
    config, params = load_model(folder / "altered", engine, activations=False)
    assert (config["attention_activations"], config["rotated_queries"]) == (None, True)
    for name in (f"{FIRST}.mlp.up_proj", f"{FIRST}.mlp.down_proj"):
        assert isinstance(params[f"{name}.weight"].weight, engine.PackedWeight)
    assert isinstance(params[f"{SECOND}.mlp.up_proj.weight"], engine.PackedWeight)


def test_a_bias_beside_outliers(folder):
    config, params = load_model(folder / "altered", refq)
    weight, x = params[f"{SECOND}.mlp.up_proj.weight"], np.ones((3, 64), np.float32)
    bias = np.arange(160, dtype=np.float32)
    found = operations(refq, config).linear(x, weight, bias)
    np.testing.assert_array_equal(found, refq.llm_int8_matmul(x, *weight) + bias)


def test_the_verbs_run_it(folder, tmp_path):
    model, asked = folder / "altered", ("--text", TEXT, "--context", "16", "--tokens", "64", "--json")
    stored, off = (
        json.loads(run("perplexity", model, *asked, "--activations", which).stdout)["perplexity"]
        for which in ("stored", "off")
    )
    assert abs(off / stored - 1) > 1e-4
    (tmp_path / "set.jsonl").write_text('{"context": "ab", "choices": ["ab", "hg"], "answer": 0}')
    for command in (
        ("evaluate", model, "--task", tmp_path / "set.jsonl"),
        ("generate", model, "--prompt", "a", "--max-tokens", "4"),
    ):
        for more in ((), ("--activations", "off"), ("--engine", "reference")):
            found = run(*command, *more)
            assert found.exit_code == 0, found.stderr


@pytest.mark.parametrize("verb", ["quantize", "distill"])
def test_it_is_quantized_already(verb, folder, tmp_path):
    more = ("--text", TEXT, "--steps", "1") if verb == "distill" else ()
    found = run(verb, folder / "altered", tmp_path / "out", *more)
    assert found.exit_code == 3
    assert "the model is quantized already; give the float model" in found.stderr


def test_inspect_shows_it(folder):
    found = run("inspect", folder / "altered")
    assert found.exit_code == 0, found.stderr
    for words in (
        "int4 channel asym, input int4 token, reassembled",
        "int4 channel asym, input int4 token, rotated over heads",
        "int4 channel asym, input int4 token, rotated ",
        "int8 channel sym, input int8 token but for outliers of 2.5",
        "attention: q, k and v int4 token, q and k rotated\n",
    ):
        assert words in found.stdout
    floats = inspect_model(folder / "float")
    assert floats["attention"] == {"attention_activations": None, "rotated_queries": False}


@both
def test_figures_are_those_of_what_is_stored(engine, folder):
    """Reassembled weights against the reassembled original; rotated ones have none, for nothing undoes the rotation."""
    measured = inspect_model(folder / "altered", folder / "float", engine)["tensors"]
    recorded = inspect_model(folder / "altered")["tensors"]
    weights, originals = dict(decoded(folder / "altered")), load_file(folder / "float" / "model.safetensors")
    tensors = load_file(folder / "altered" / altered.FILE)
    for here, there in zip(measured, recorded, strict=True):
        layer = here["name"].removesuffix(".weight")
        if layer not in weights:
            continue
        parts = [tensor.nbytes for name, tensor in tensors.items() if name.startswith(f"{layer}.")]
        assert here["bits_per_weight"] == pytest.approx(8 * sum(parts) / math.prod(here["shape"]), rel=1e-5)
        if layer.endswith(("o_proj", "down_proj")):
            assert (here["sqnr_db"], here["max_error"]) == (None, None)
            assert 10 < there["sqnr_db"] < 30
            continue
        assert here == there
        w = originals[here["name"]].astype(np.float64)
        kind = layer.rpartition(".")[2]
        if layer.startswith(FIRST):
            w = np.add.reduceat(w[:, altered.FORMS[kind].members], _starts(altered.FORMS[kind].sizes), axis=1)
        error = w - weights[layer]
        assert here["max_error"] == pytest.approx(np.abs(error).max(), rel=1e-5)
        assert here["sqnr_db"] == pytest.approx(10 * np.log10((w**2).sum() / (error**2).sum()), rel=1e-5)


def _starts(sizes):
    return np.cumsum(sizes) - sizes
