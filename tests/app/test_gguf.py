"""A GGUF file written by us and read by every verb that reads a model."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

import refq
from refq.errors import CheckpointError, FormatError, UsageError
from refq.files.gguf import open_gguf
from refq.jobs.gguf import load_gguf, open_model, read_tensor
from refq.jobs.gguf_import import import_gguf
from refq.jobs.gguf_plan import TYPES
from refq.jobs.gguf_write import write_gguf
from refq.jobs.model import load_model
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from tests.app import commands
from tests.files.gguf_files import WORLD
from tests.files.models import save


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gguf")


def test_floats_come_back(plain):
    config, params = load_gguf(plain, refq)
    other, expected = load_model(WORLD, refq)
    assert {key: other[key] for key in config if key in other} == config | {"attention_activations": None}
    for name in expected:
        np.testing.assert_array_equal(params[name], expected[name])


@pytest.mark.parametrize("kind", TYPES[1:])
def test_every_type(folder, kind):
    report = write_gguf(WORLD, folder / f"{kind}.gguf", refq, kind)
    assert report["fallbacks"] == {}
    assert len(report["errors"]) == (0 if kind == "f16" else 21)
    file, config, shapes = open_model(folder / f"{kind}.gguf")
    expected = load_model(WORLD, refq)[1]
    for name in shapes:
        if kind == "f16" or not name.endswith("_proj.weight"):
            np.testing.assert_array_equal(read_tensor(file, name, config, refq), expected[name])
            continue
        coded = getattr(refq, f"encode_{kind}")(expected[name])
        decoded = getattr(refq, f"decode_{kind}")(coded)
        np.testing.assert_array_equal(read_tensor(file, name, config, refq), decoded)


@pytest.mark.parametrize(("kind", "bits"), [("q4_0", 4), ("q5_0", 5), ("q8_0", 8)])
def test_codes_are_kept(folder, kind, bits):
    """A grid that both have: the same codes and scales on both sides."""
    quantize_model(WORLD, folder / f"int{bits}", refq, Options(bits=bits, group_size=64))
    _, expected = load_model(folder / f"int{bits}", refq)
    report = write_gguf(folder / f"int{bits}", folder / f"int{bits}.gguf", refq, kind)
    assert report["lossless"] == 21
    assert report["errors"] == {}
    _, params = load_gguf(folder / f"int{bits}.gguf", refq)
    for name, weight in expected.items():
        if isinstance(weight, refq.PackedWeight):
            np.testing.assert_array_equal(params[name].packed, weight.packed)
            np.testing.assert_array_equal(params[name].scale[:, ::2], weight.scale)
            np.testing.assert_array_equal(params[name].scale[:, 1::2], weight.scale)


def test_a_grid_that_the_type_does_not_hold(folder):
    quantize_model(WORLD, folder / "channel", refq, Options(bits=8, group_size="channel", symmetric=False))
    with pytest.raises(UsageError, match="--requantize"):
        write_gguf(folder / "channel", folder / "no.gguf", refq, "q8_0")
    assert not (folder / "no.gguf").exists()
    assert not list(folder.glob(".no*"))
    report = write_gguf(folder / "channel", folder / "yes.gguf", refq, "q8_0", requantize=True)
    assert report["lossless"] == 0
    assert len(report["errors"]) == 21


def test_minima_of_whole_steps_are_zero_points(folder):
    """Of a Q4_1 layer whose every minimum is a whole number of steps the codes are kept, of another they are not."""
    write_gguf(WORLD, folder / "steps.gguf", refq, "q4_1")
    file = open_gguf(folder / "steps.gguf")
    info = file.header.tensors["blk.1.attn_k.weight"]
    blocks = file.rows(info.name, 0, info.shape[0]).reshape(-1, 20)
    steps = np.random.default_rng(0).integers(0, 16, len(blocks))
    blocks[:, :4] = np.stack([np.full(len(blocks), 0.125), -0.125 * steps], axis=1).astype("<f2").view(np.uint8)
    with open(folder / "steps.gguf", "r+b") as raw:
        raw.seek(info.start)
        raw.write(blocks.tobytes())
    report = import_gguf(folder / "steps.gguf", folder / "steps", refq)
    assert (report["layers"], report["codes"], report["numbers"]) == (1, 32 * len(blocks), 2 * len(blocks))
    assert len(report["floats"]) == 20
    (name, weight), *more = [
        (name, weight) for name, weight in load_model(folder / "steps", refq)[1].items() if isinstance(weight, tuple)
    ]
    assert (name, more) == ("model.layers.1.self_attn.k_proj.weight", [])
    for ours, theirs in zip(weight, load_gguf(folder / "steps.gguf", refq)[1][name], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("kind", "rule"), [("f16", "1e\\+06 is beyond F16; F32 holds it"), ("q4_0", "float16")])
def test_a_number_that_a_type_does_not_hold(folder, kind, rule):
    directory = folder / f"large-{kind}"
    shutil.copytree(WORLD, directory)
    tensors = {name: array.astype(np.float32) for name, array in load_file(directory / "model.safetensors").items()}
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name][3, 5] = 1e6
    save(directory / "model.safetensors", tensors)
    with pytest.raises(CheckpointError, match=f"{directory}: tensor {name}: .*{rule}"):
        write_gguf(directory, folder / "no.gguf", refq, kind)
    assert not list(folder.glob(".no*"))


def test_nothing_is_replaced_without_a_word(plain):
    before = plain.read_bytes()
    with pytest.raises(UsageError, match="exists"):
        write_gguf(WORLD, plain, refq, "f16")
    assert plain.read_bytes() == before


def test_the_same_bytes_again(folder, plain):
    write_gguf(WORLD, folder / "again.gguf", refq, "f32")
    assert (folder / "again.gguf").read_bytes() == plain.read_bytes()


def test_metadata(plain):
    metadata = open_gguf(plain).header.metadata
    assert metadata["general.architecture"] == ("str", "llama")
    assert metadata["llama.attention.head_count_kv"] == ("u32", 2)
    assert metadata["tokenizer.ggml.pre"] == ("str", "gpt-2")
    assert metadata["tokenizer.ggml.add_bos_token"] == ("bool", True)


def test_a_chat_template_goes_there_and_back(folder):
    shutil.copytree(WORLD, folder / "chat")
    (folder / "chat" / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    write_gguf(folder / "chat", folder / "chat.gguf", refq, "f16")
    assert open_gguf(folder / "chat.gguf").header.metadata["tokenizer.chat_template"] == ("str", "{{ messages }}")
    import_gguf(folder / "chat.gguf", folder / "chat-back", refq)
    back = json.loads((folder / "chat-back" / "tokenizer_config.json").read_text())
    assert back == {"chat_template": "{{ messages }}"}
    write_gguf(folder / "chat-back", folder / "again-chat.gguf", refq, "f16")
    metadata = [open_gguf(folder / name).header.metadata for name in ("chat.gguf", "again-chat.gguf")]
    changed = {key for key in metadata[0] if metadata[0][key] != metadata[1].get(key)}
    assert changed == {"general.name", "refq.run"}


def test_the_frequencies_of_llama_3(folder):
    shutil.copytree(WORLD, folder / "scaled")
    raw = json.loads((folder / "scaled" / "config.json").read_text())
    raw["rope_scaling"] = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    raw["rope_scaling"]["original_max_position_embeddings"] = 1024
    (folder / "scaled" / "config.json").write_text(json.dumps(raw))
    write_gguf(folder / "scaled", folder / "scaled.gguf", refq, "f16")
    assert "rope_freqs.weight" in open_gguf(folder / "scaled.gguf").header.tensors
    assert load_gguf(folder / "scaled.gguf", refq)[0]["rope_scaling"] == raw["rope_scaling"]


def test_the_verbs_read_it(plain):
    found = json.loads(commands.refq("inspect", plain, "--json").stdout)
    assert (found["run"]["command"], found["run"]["options"]["type"]) == ("export", "f32")
    rows = found["tensors"]
    assert {row["format"] for row in rows} == {"F32"}
    assert sum(row["bytes"] for row in rows) == 4 * sum(int(np.prod(row["shape"])) for row in rows)
    texts = [commands.refq("generate", m, "--max-tokens", 12, "--engine", "reference").stdout for m in (plain, WORLD)]
    assert texts[0] == texts[1] != ""


def test_a_file_of_others_is_not_resumed(plain, folder):
    (folder / "other.gguf").write_bytes(plain.read_bytes().replace(b"refq.run", b"else.run"))
    assert json.loads(commands.refq("inspect", folder / "other.gguf", "--json").stdout)["run"] is None
    with pytest.raises(CheckpointError, match="other.gguf: it holds no run record of refq; --overwrite replaces it"):
        write_gguf(WORLD, folder / "other.gguf", refq, "f32", resume=True)
    (folder / "other.gguf").write_bytes(plain.read_bytes().replace(b'{"command"', b'["command"'))
    found = commands.refq("inspect", folder / "other.gguf")
    assert (found.exit_code, "refq.run: it is not valid JSON" in found.stderr) == (3, True)


def test_a_file_of_another_kind_is_refused(folder):
    (folder / "x.gguf").write_bytes(b"GGML")
    with pytest.raises(FormatError, match="the version reaches to byte 8"):
        load_gguf(folder / "x.gguf", refq)
    assert commands.refq("inspect", folder / "x.gguf").exit_code == 3
    (folder / "x.bin").write_bytes(b"GGUF")
    found = commands.refq("inspect", folder / "x.bin")
    assert found.exit_code == 2
    assert "or a .gguf file" in found.stderr


def test_export_writes_one(folder):
    out = folder / "exported.gguf"
    asked = ("export", WORLD, out, "--to", "gguf", "--type", "q8_0", "--engine", "reference")
    found = commands.refq(*asked)
    assert found.exit_code == 0, found.stderr
    assert "model.layers.2.mlp.down_proj.weight" in found.stdout
    assert commands.refq(*asked).exit_code == 2
    assert json.loads(commands.refq(*asked, "--overwrite", "--json").stdout)["tensors"] == 29


def test_quantize_writes_what_export_does(folder):
    asked = "--to", "gguf", "--type", "q4_k", "--engine", "reference"
    for verb in ("quantize", "export"):
        found = commands.refq(verb, WORLD, folder / f"{verb}.gguf", *asked)
        assert found.exit_code == 0, found.stderr
    assert (folder / "quantize.gguf").read_bytes() == (folder / "export.gguf").read_bytes()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--to", "gguf"), "--to gguf needs --type"),
        (("--type", "q4_0"), "--type is an option of --to gguf"),
        (("--to", "gguf", "--type", "q4_0", "--bits", 4, "--range", "mse"), "does not go with --bits, --range"),
        (("--to", "gguf", "--type", "q4_0", "--dry-run"), "does not go with --dry-run"),
        (("--to", "gguf", "--type", "q4_0", "--method", "gptq"), "does not go with --method"),
        (("--compare", "--to", "gguf"), "--compare does not go with --to"),
    ],
)
def test_options_of_quantize_that_do_not_fit(folder, options, fault):
    out = () if options[0] == "--compare" else (folder / "none.gguf",)
    found = commands.refq("quantize", WORLD, *out, *options)
    assert found.exit_code == 2
    assert fault in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_quantize_takes_floats_alone(folder):
    quantize_model(WORLD, folder / "low", refq, Options())
    found = commands.refq("quantize", folder / "low", folder / "none.gguf", "--to", "gguf", "--type", "q4_0")
    assert found.exit_code == 2
    assert "is quantized already; `refq export` writes it as GGUF" in found.stderr


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("gguf",), "needs --type"),
        (("gptq", "--type", "q4_0"), "--type is"),
        (("gptq", "--gguf-pre", "x"), "--gguf-pre is"),
    ],
)
def test_options_that_do_not_fit(folder, options, fault):
    found = commands.refq("export", WORLD, folder / "none", "--to", *options)
    assert found.exit_code == 2
    assert fault in found.stderr


def test_a_file_is_not_requantized_where_it_is_read(plain, folder):
    found = commands.refq("import", plain, folder / "none", "--requantize")
    assert found.exit_code == 2
    assert "--requantize is of directories" in found.stderr


FAULTS = [("asym", "q4_0", "it has zero points; Q4_0 has none"), ("asym", "q8_0", "codes of 4 bits; those of Q8_0")]
FAULTS += [("fine", "q4_0", "groups of 16; Q4_0 holds whole 32s"), ("asym", "q4_1", "a scale or minimum is no number")]
FAULTS += [("asym", "q4_k", "Q4_K has grids of its own"), ("asym", "q5_0", "codes of 4 bits; those of Q5_0 have 5")]


@pytest.mark.parametrize(("model", "kind", "rule"), FAULTS)
def test_what_a_type_does_not_hold_is_said_before_anything_is_written(folder, model, kind, rule):
    if not (folder / model).exists():
        quantize_model(WORLD, folder / model, refq, Options(4, 16 if model == "fine" else 32, model == "fine"))
    with pytest.raises(UsageError, match=f"model.layers.0.self_attn.q_proj: .*{rule}"):
        write_gguf(folder / model, folder / "no.gguf", refq, kind)
    assert not list(folder.glob(".no*"))


def test_codebooks_are_rounded_anew_or_refused(folder):
    quantize_model(WORLD, folder / "books", refq, Options(3, 16, method="kmeans"))
    with pytest.raises(UsageError, match="q_proj: it has codebooks, which Q8_0 does not hold; --requantize"):
        write_gguf(folder / "books", folder / "no.gguf", refq, "q8_0")
    report = write_gguf(folder / "books", folder / "books.gguf", refq, "q8_0", requantize=True)
    assert report["lossless"] == 0
    assert len(report["errors"]) == 21
    assert min(one["sqnr_db"] for one in report["errors"].values()) > 40


@pytest.mark.parametrize("kind", ["f16", "q4_0", "q4_1", "q5_0", "q8_0", "q4_k"])
def test_import_and_back(folder, kind):
    """What was written, imported and written again is the same; the imported model has the same weights."""
    source = folder / f"{kind}-there.gguf"
    write_gguf(WORLD, source, refq, kind)
    found = commands.refq("import", source, folder / f"{kind}-model", "--engine", "reference", "--json")
    assert found.exit_code == 0, found.stderr
    report = json.loads(found.stdout)
    assert report["layers"] == (21 if kind in ("q4_0", "q5_0", "q8_0") else 0)
    assert len(report["floats"]) == (21 if kind in ("q4_1", "q4_k") else 0)
    config, params = load_model(folder / f"{kind}-model", refq)
    _, expected = load_gguf(source, refq)
    for name, weight in expected.items():
        for ours, theirs in zip(*(w if isinstance(w, tuple) else (w,) for w in (params[name], weight)), strict=True):
            if not (kind == "q4_1" and isinstance(weight, refq.PackedWeight)):
                np.testing.assert_array_equal(ours, theirs)
    if kind not in ("q4_1", "q4_k"):
        write_gguf(folder / f"{kind}-model", folder / f"{kind}-back.gguf", refq, kind)
        there, back = (open_gguf(folder / f"{kind}-{name}.gguf") for name in ("there", "back"))
        for name, info in there.header.tensors.items():
            rows = int(np.prod(info.shape[:-1]))
            np.testing.assert_array_equal(there.rows(name, 0, rows), back.rows(name, 0, rows))
        same = [key for key in there.header.metadata if key not in ("general.name", "refq.run")]
        assert [back.header.metadata[key] for key in same] == [there.header.metadata[key] for key in same]
