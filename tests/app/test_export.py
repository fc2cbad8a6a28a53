"""refq export and import: the same codes in another program's directory, and back."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

import refq as refq_package
from refq.files.checkpoint import open_checkpoint
from refq.jobs import export
from tests.app.commands import decoded, digests, refq
from tests.app.tiny import TEXT, write_model
from tests.files.models import save

REFERENCE = ("--engine", "reference")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`float`; `sym`, 4 bits in groups of 32; `asym`, with zero points; `fine`, groups of 16; `wide`, 8 bits a row."""
    found = tmp_path_factory.mktemp("export")
    write_model(found / "float")
    options = {"sym": (), "asym": ("--asymmetric",), "fine": ("--group-size", "16")}
    options["wide"] = "--bits", "8", "--group-size", "channel"
    for name, chosen in options.items():
        written = refq("quantize", found / "float", found / name, "--group-size", "32", *chosen, *REFERENCE)
        assert written.exit_code == 0, written.stderr
    return found


def export_to(model, out, *options, verb="export"):
    """The report of an export that succeeds."""
    found = refq(verb, model, out, *options, *REFERENCE, "--json")
    assert found.exit_code == 0, found.stderr
    return json.loads(found.stdout)


LOSSLESS = [(kind, to) for to in ("gptq", "gptq_v2") for kind in ("sym", "wide")]
LOSSLESS += [
    (kind, to) for to in ("gptq_v2", "awq", "mlx") for kind in ("sym", "asym") if (kind, to) != ("sym", "gptq_v2")
]


@pytest.mark.parametrize(("kind", "to"), LOSSLESS)
def test_there_and_back_again(folder, tmp_path, kind, to):
    there = export_to(folder / kind, tmp_path / "there", "--to", to)
    back = export_to(tmp_path / "there", tmp_path / "back", verb="import")
    layers = open_checkpoint(folder / kind).schemes
    codes = sum(weight.size for _, weight in decoded(folder / kind))
    for report in (there, back):
        assert (report["layers"], report["codes"], report["requantized"]) == (len(layers), codes, {})
    assert open_checkpoint(tmp_path / "back").schemes == layers
    before, after = (load_file(one / "model.safetensors") for one in (folder / kind, tmp_path / "back"))
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], name)


@pytest.mark.parametrize(("kind", "to"), [("sym", "gptq"), ("asym", "gptq_v2"), ("asym", "awq"), ("asym", "mlx")])
def test_it_speaks_as_before(folder, tmp_path, kind, to):
    export_to(folder / kind, tmp_path / "out", "--to", to)
    scores = [
        json.loads(refq("perplexity", model, "--text", TEXT, "--json", *REFERENCE).stdout)["perplexity"]
        for model in (folder / kind, tmp_path / "out")
    ]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("to", ["gptq", "awq", "mlx"])
def test_it_continues_a_prompt_as_before(folder, tmp_path, to):
    export_to(folder / "sym", tmp_path / "out", "--to", to)
    told = [
        refq("generate", model, "--prompt", "Once", "--max-tokens", "12", "--temperature", "0", *REFERENCE)
        for model in (folder / "sym", tmp_path / "out")
    ]
    assert told[0].exit_code == 0, told[0].stderr
    assert told[0].stdout == told[1].stdout


def test_the_words_of_a_gptq_directory_by_hand(folder, tmp_path):
    export_to(folder / "asym", tmp_path / "out", "--to", "gptq_v2")
    tensors, layer = load_file(tmp_path / "out" / "model.safetensors"), "model.layers.1.self_attn.k_proj"
    words, zeros, scales, group = (tensors[f"{layer}.{name}"] for name in ("qweight", "qzeros", "scales", "g_idx"))
    expected = dict(decoded(folder / "asym"))[layer]
    for o, i in [(0, 0), (1, 9), (7, 33), (31, 63), (8, 40)]:
        u = int(words[i // 8, o]) >> (4 * (i % 8)) & 15
        z = int(zeros[group[i], o // 8]) >> (4 * (o % 8)) & 15
        assert expected[o, i] == np.float32(scales[group[i], o]) * (u - z)
    assert scales.dtype == np.float16
    both = [json.loads((tmp_path / "out" / name).read_text()) for name in ("config.json", "quantize_config.json")]
    assert both[0]["quantization_config"] == both[1]
    assert both[1]["checkpoint_format"] == "gptq_v2"


def test_inputs_in_another_order_are_imported_as_they_are(folder, tmp_path):
    export_to(folder / "sym", tmp_path / "gptq", "--to", "gptq")
    path = tmp_path / "gptq" / "model.safetensors"
    tensors, random = load_file(path), np.random.default_rng(0)
    for name, array in tensors.items():
        if name.endswith("g_idx"):
            tensors[name] = random.permutation(array)
    save(path, tensors, {"format": "pt"})
    export_to(tmp_path / "gptq", tmp_path / "ours", verb="import")
    assert (tmp_path / "ours" / "refq-reassembled.safetensors").exists()
    scores = [
        json.loads(refq("perplexity", model, "--text", TEXT, "--json", *REFERENCE).stdout)["perplexity"]
        for model in (tmp_path / "gptq", tmp_path / "ours")
    ]
    assert scores[0] == scores[1]
    refused = refq("export", tmp_path / "gptq", tmp_path / "no", "--to", "compressed-tensors")
    assert refused.exit_code == 2
    assert "order of the inputs" in refused.stderr
    fitted = export_to(tmp_path / "gptq", tmp_path / "yes", "--to", "compressed-tensors", "--requantize")
    assert len(fitted["requantized"]) == 14


def _altered(folder, tmp_path, change):
    """The symmetric or asymmetric model with tensors changed."""
    kind, alter = change
    model = tmp_path / "altered"
    model.mkdir()
    for path in (folder / kind).iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    tensors = load_file(model / "model.safetensors")
    alter(tensors)
    save(model / "model.safetensors", tensors, {"format": "pt"})
    return model


LAYER = "model.layers.1.mlp.up_proj"


def _uneven_scale(tensors):
    scale = tensors[f"{LAYER}.weight_scale"].copy()
    scale[3, 0] *= np.float32(1 + 2**-20)
    tensors[f"{LAYER}.weight_scale"] = scale


def _lowest_zero(tensors):
    zeros = tensors[f"{LAYER}.weight_zero_point"].copy()
    zeros[0, 0] &= ~15
    tensors[f"{LAYER}.weight_zero_point"] = zeros


REFUSED = [
    (("sym", _uneven_scale), "gptq", "a scale is not exact in float16"),
    (("asym", _lowest_zero), "gptq", "a zero point -8 is stored in version 1 as 15"),
    (("sym", _uneven_scale), "awq", "a scale is not exact in float16"),
    (("sym", _uneven_scale), "mlx", "binary digits"),
    (("wide", lambda tensors: None), "awq", "it has 8 bits; 4 are due"),
    (("fine", lambda tensors: None), "mlx", "its groups of 16 are no multiple of 32, 64 or 128"),
]


@pytest.mark.parametrize(("change", "to", "rule"), REFUSED)
def test_what_the_format_cannot_hold_is_refused_by_layer_and_rule(folder, tmp_path, change, to, rule):
    model = _altered(folder, tmp_path, change)
    refused = refq("export", model, tmp_path / "out", "--to", to, *REFERENCE)
    assert refused.exit_code == 2
    assert LAYER in refused.stderr or change[0] != "sym"
    assert rule in refused.stderr
    assert not (tmp_path / "out").exists()


def test_a_layer_is_given_another_grid_where_that_is_asked_for(folder, tmp_path):
    model = _altered(folder, tmp_path, REFUSED[0][0])
    report = export_to(model, tmp_path / "out", "--to", "gptq", "--requantize")
    assert list(report["requantized"]) == [LAYER]
    assert report["requantized"][LAYER]["max_error"] > 0
    weights, new = dict(decoded(model)), export_to(tmp_path / "out", tmp_path / "back", verb="import")
    assert new["requantized"] == {}
    for layer, weight in decoded(tmp_path / "back"):
        assert np.array_equal(weight, weights[layer]) == (layer != LAYER)
    worst = np.abs(dict(decoded(tmp_path / "back"))[LAYER] - weights[LAYER]).max()
    assert report["requantized"][LAYER]["max_error"] == pytest.approx(worst, rel=1e-5)


@pytest.mark.parametrize(("keep", "code"), [("v_proj", 0), ("model.layers.1.self_attn.v_proj", 2)])
def test_float_layers_of_a_gptq_file_are_those_of_all_blocks(folder, tmp_path, keep, code):
    made = refq("quantize", folder / "float", tmp_path / "model", "--keep", keep, *REFERENCE)
    assert made.exit_code == 0, made.stderr
    found = refq("export", tmp_path / "model", tmp_path / "out", "--to", "gptq", *REFERENCE)
    assert found.exit_code == code
    if code:
        assert f"layer {keep} stays float" in found.stderr
    else:
        config = json.loads((tmp_path / "out" / "quantize_config.json").read_text())
        assert ["self_attn.v_proj"] not in config["modules_in_block_to_quantize"]
        assert ["self_attn.k_proj"] in config["modules_in_block_to_quantize"]
        assert config["dynamic"] == {r"-:.*self_attn\.v_proj": {}}
    for to in ("awq", "mlx"):
        assert export_to(tmp_path / "model", tmp_path / to, "--to", to)["layers"] == (13 if code else 12)
    left_out = json.loads((tmp_path / "awq" / "config.json").read_text())["quantization_config"]["dynamic"]
    assert r"-:.*model\.layers\.1\.self_attn\.v_proj" in left_out
    assert len(left_out) == (1 if code else 2)


def test_a_quantized_embedding_and_head_of_mlx(folder, tmp_path):
    export_to(folder / "sym", tmp_path / "mlx", "--to", "mlx")
    path = tmp_path / "mlx" / "model.safetensors"
    tensors, random = load_file(path), np.random.default_rng(0)
    for layer in ("model.embed_tokens", "lm_head"):
        rows, columns = tensors.pop(f"{layer}.weight").shape
        tensors[f"{layer}.weight"] = random.integers(0, 2**32, (rows, columns // 8), np.uint32)
        scale = random.integers(1, 9, (rows, columns // 32)).astype(np.float32) / 64
        tensors |= {f"{layer}.scales": scale, f"{layer}.biases": -8 * scale}
    save(path, tensors, {"format": "mlx"})
    report = export_to(tmp_path / "mlx", tmp_path / "ours", verb="import")
    assert report["layers"] == 15
    checkpoint = open_checkpoint(tmp_path / "ours")
    assert "lm_head" in checkpoint.schemes
    assert "model.embed_tokens" not in checkpoint.schemes
    scores = [
        json.loads(refq("perplexity", model, "--text", TEXT, "--json", *REFERENCE).stdout)["perplexity"]
        for model in (tmp_path / "mlx", tmp_path / "ours")
    ]
    assert scores[0] == scores[1]


def test_biases_that_are_no_zero_points_are_refused_or_fitted(folder, tmp_path):
    export_to(folder / "sym", tmp_path / "mlx", "--to", "mlx")
    path = tmp_path / "mlx" / "model.safetensors"
    tensors = load_file(path)
    tensors[f"{LAYER}.biases"] = tensors[f"{LAYER}.biases"] * np.float32(1.01)
    save(path, tensors, {"format": "mlx"})
    again = export_to(tmp_path / "mlx", tmp_path / "same", "--to", "mlx")
    assert again["requantized"] == {}
    assert np.array_equal(
        load_file(tmp_path / "same" / "model.safetensors")[f"{LAYER}.biases"], tensors[f"{LAYER}.biases"]
    )
    refused = refq("import", tmp_path / "mlx", tmp_path / "ours", *REFERENCE)
    assert refused.exit_code == 2
    assert f"layer {LAYER}: a bias is no whole multiple of its scale" in refused.stderr
    fitted = export_to(tmp_path / "mlx", tmp_path / "ours", "--requantize", verb="import")
    assert list(fitted["requantized"]) == [LAYER]
    u = refq_package.unpack_mlx(tensors[f"{LAYER}.weight"], 4) + 8
    scale, bias = (np.repeat(tensors[f"{LAYER}.{name}"], 32, axis=1) for name in ("scales", "biases"))
    worst = np.abs(dict(decoded(tmp_path / "ours"))[LAYER] - (u * scale + bias)).max()
    assert fitted["requantized"][LAYER]["max_error"] == pytest.approx(worst, rel=1e-5)


def test_a_float_model_is_to_be_quantized_first(folder, tmp_path):
    found = refq("export", folder / "float", tmp_path / "out", "--to", "gptq")
    assert found.exit_code == 2
    assert "refq quantize" in found.stderr


@pytest.mark.parametrize(("method", "text"), [("kmeans", "q_proj has codebooks"), ("rotation", "weights alone")])
def test_codebooks_and_grids_of_inputs_have_no_place(folder, tmp_path, method, text):
    made = refq("quantize", folder / "float", tmp_path / "model", "--method", method, *REFERENCE)
    assert made.exit_code == 0, made.stderr
    found = refq("export", tmp_path / "model", tmp_path / "out", "--to", "gptq")
    assert found.exit_code == 2
    assert text in found.stderr


def test_killed_and_resumed_it_writes_the_same_bytes(folder, tmp_path, monkeypatch):
    export_to(folder / "sym", tmp_path / "whole", "--to", "gptq")
    real, calls = export._pieces, []

    def pieces(*args):
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        yield from real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(export, "_pieces", pieces)
        stopped = refq("export", folder / "sym", tmp_path / "out", "--to", "gptq", *REFERENCE)
    assert stopped.exit_code == 130
    assert not (tmp_path / "out").exists()
    again = export_to(folder / "sym", tmp_path / "out", "--to", "gptq", "--resume")
    assert again["written"]
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
    assert not export_to(folder / "sym", tmp_path / "out", "--to", "gptq", "--resume")["written"]
    assert refq("export", folder / "sym", tmp_path / "out", "--to", "gptq_v2", "--resume").exit_code == 3


def test_a_written_file_that_is_not_what_was_meant_is_not_published(folder, tmp_path, monkeypatch):
    real = export._pieces

    def pieces(unit, source, errors):
        for name, array in real(unit, source, errors):
            yield name, array ^ 1 if name.endswith("qweight") else array

    monkeypatch.setattr(export, "_pieces", pieces)
    found = refq("export", folder / "sym", tmp_path / "out", "--to", "gptq", *REFERENCE)
    assert found.exit_code == 3
    assert "not what was meant" in found.stderr
    assert not (tmp_path / "out").exists()
